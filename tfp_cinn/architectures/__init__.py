"""Named flows: what the `model` section of a config builds.

Arguments that several of them share, beside those that each describes itself:

* `clamp`: bound of a coupling's log-scale, nats; `clamp_type`: "arctan", "arctan_unscaled", "tanh"
  or "sigmoid" (`bijectors.GlowCoupling`).
* `permutation`: "random" (hard) or "soft" (a rotation).
* `init_std`, `zero_last`, and `subnet_dtype` for `dtype`: of the subnets' makers (`networks.MLP`).
* `weight_prior`: of `tfp_cinn.CINN`.
* `mean`, `std`: of x, a number or one for each channel, in the units of x; `cond_mean`,
  `cond_std`: of c. Backbones from `keras.applications` have their own.
* `conditioner`: "joint" (trained with the flow), "frozen" (not trained) or "none" (the gray image
  itself at each resolution); `pretrained`: file with its weights (`networks.load_weights`).
* `backbone`: what extracts features; for those of `keras.applications`, `enlarge` and `weights`
  are of `networks.application_features`.
"""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from tfp_cinn.architectures.color_mnist import color_mnist
from tfp_cinn.architectures.colorization_imagenet import colorization_imagenet
from tfp_cinn.architectures.colorization_minimal import colorization_minimal
from tfp_cinn.architectures.conditioning import ImagePairs
from tfp_cinn.architectures.dense_glow import dense_glow
from tfp_cinn.architectures.from_shapes import ShapedPairs, from_shapes
from tfp_cinn.data import LabeledImages
from tfp_cinn.errors import UsageError
from tfp_cinn.model import CINN

__all__ = [
    "ARCHITECTURES",
    "ImagePairs",
    "ShapedPairs",
    "arguments",
    "build",
    "color_mnist",
    "colorization_imagenet",
    "colorization_minimal",
    "dense_glow",
    "from_shapes",
]

ARCHITECTURES = {
    "color_mnist": color_mnist,
    "colorization_imagenet": colorization_imagenet,
    "colorization_minimal": colorization_minimal,
    "dense_glow": dense_glow,
    "from_shapes": from_shapes,
}
"""Architectures by name, for `config.model.architecture`."""


def build(architecture: str, data: LabeledImages | ImagePairs | ShapedPairs, **fields: Any) -> CINN:
    """Build the named architecture for a data set.

    Args:
        architecture: one of `ARCHITECTURES`.
        data: the data set, for its shapes, number of classes, mean and standard deviation.
        **fields: the architecture's own arguments.

    Raises:
        UsageError: if the name or a field is unknown.
    """
    if architecture not in ARCHITECTURES:
        raise UsageError(
            f"config.model.architecture: expected one of {', '.join(ARCHITECTURES)}, got "
            f"{architecture!r}"
        )
    known = arguments(architecture)
    for field in fields:
        if field not in known:
            near = difflib.get_close_matches(field, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            raise UsageError(f"config.model.{field}: {architecture} has no such argument; {hint}")
    return ARCHITECTURES[architecture](data, **fields)


def arguments(architecture: str | None) -> dict[str, Any]:
    """Return the arguments of the named architecture with their defaults; none if there is none."""
    if architecture not in ARCHITECTURES:
        return {}
    parameters = inspect.signature(ARCHITECTURES[architecture]).parameters.values()
    return {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
