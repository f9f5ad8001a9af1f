"""Named flows: what the `model` section of a config builds."""

from __future__ import annotations

from typing import Any

from tfp_cinn.architectures.color_mnist import color_mnist
from tfp_cinn.architectures.colorization_imagenet import colorization_imagenet
from tfp_cinn.architectures.colorization_minimal import colorization_minimal
from tfp_cinn.architectures.conditioning import ImagePairs
from tfp_cinn.architectures.dense_glow import dense_glow
from tfp_cinn.data import LabeledImages
from tfp_cinn.errors import UsageError
from tfp_cinn.model import CINN

__all__ = [
    "ARCHITECTURES",
    "ImagePairs",
    "build",
    "color_mnist",
    "colorization_imagenet",
    "colorization_minimal",
    "dense_glow",
]

ARCHITECTURES = {
    "color_mnist": color_mnist,
    "colorization_imagenet": colorization_imagenet,
    "colorization_minimal": colorization_minimal,
    "dense_glow": dense_glow,
}


def build(architecture: str, data: LabeledImages | ImagePairs, **fields: Any) -> CINN:
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
            f"architecture: expected one of {', '.join(ARCHITECTURES)}, got {architecture!r}"
        )
    try:
        return ARCHITECTURES[architecture](data, **fields)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise UsageError(f"architecture {architecture}: {error}") from None
