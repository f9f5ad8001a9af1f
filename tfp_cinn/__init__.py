"""Conditional invertible neural networks for TensorFlow (arXiv 1907.02392)."""

from tfp_cinn import bijectors, latent, networks
from tfp_cinn.distribution import ConditionalTransformedDistribution
from tfp_cinn.errors import NonFiniteError, NonFiniteStepError, UsageError
from tfp_cinn.fused_adam import FusedAdam
from tfp_cinn.model import CINN, load_model

__version__ = "0.1.0"

__all__ = [
    "CINN",
    "ConditionalTransformedDistribution",
    "FusedAdam",
    "NonFiniteError",
    "NonFiniteStepError",
    "UsageError",
    "bijectors",
    "latent",
    "load_model",
    "networks",
]
