"""Convolutional subnets."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras

from tfp_cinn.networks.subnet_maker import SubnetMaker

__all__ = ["ConvNet"]


@keras.saving.register_keras_serializable("tfp_cinn")
@dataclasses.dataclass(eq=False)
class ConvNet(SubnetMaker):
    """Maker of convolutional subnets: (Conv2D, activation) per hidden layer, then Conv2D.

    Calling it with a number of output channels returns a new `keras.Sequential` that maps
    `[N, H, W, C_in]` to `[N, H, W, channels_out]`, with zero padding.

    Args:
        hidden, activation, init_std, zero_last, negative_slope, dtype: see `SubnetMaker`.
        kernel_size: kernel size of all layers.

    Raises:
        UsageError: if an argument is out of range, or the policy computes in float16.
    """

    hidden: Sequence[int] = (64,)
    kernel_size: int = dataclasses.field(default=3, kw_only=True)

    def __call__(self, channels_out: int) -> keras.Sequential:
        """Return a new subnet with `channels_out` output channels."""
        hidden, last = self.layer_arguments()
        size = {"kernel_size": self.kernel_size, "padding": "same"}
        layers = [keras.layers.Conv2D(n, **size, **hidden) for n in self.hidden]
        return keras.Sequential([*layers, keras.layers.Conv2D(channels_out, **size, **last)])
