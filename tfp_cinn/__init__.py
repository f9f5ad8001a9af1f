"""Conditional invertible neural networks for TensorFlow (arXiv 1907.02392)."""

import importlib
import sys

__version__ = "0.1.0"

# Loaded when first asked for: the command line answers --help, and refuses a mistake, in a
# fraction of the seconds that TensorFlow takes to import.
_HOMES = {
    "CINN": "model",
    "ConditionalTransformedDistribution": "distribution",
    "FusedAdam": "fused_adam",
    "NonFiniteError": "errors",
    "NonFiniteStepError": "errors",
    "UsageError": "errors",
    "load_model": "model",
}

__all__ = [  # noqa: PLE0604
    *_HOMES,
    "bijectors",
    "latent",
    "networks",
]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if "keras" in sys.modules:
    # Keras's own load_model knows our classes once they are imported.
    from tfp_cinn import fused_adam, latent, model, networks  # noqa: F401
