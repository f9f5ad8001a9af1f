"""Convolutional subnets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfp_cinn.networks.initialization import (
    activation_of,
    check_widths,
    initializers,
    policy_name,
)

__all__ = ["ConvNet"]


@keras.saving.register_keras_serializable("tfp_cinn")
class ConvNet:
    """Maker of convolutional subnets: Conv2D - activation, once a hidden layer, then Conv2D.

    Calling it with a number of output channels returns a new `keras.Sequential` that maps
    `[N, H, W, C_in]` to `[N, H, W, channels_out]`, with zero padding.

    Args:
        hidden: channels of the hidden layers.
        kernel_size: side of the kernels, of all layers.
        activation: name of a Keras activation.
        init_std: standard deviation of the normal from which weights and biases are drawn (0.01 in
            the paper's minimal MNIST example); None for He-normal kernels and zero biases.
        zero_last: whether the output layer starts at zero, by which a coupling starts as the
            identity.
        negative_slope: slope of the "relu" below zero, by which it is a leaky one.
        dtype: Keras dtype policy of the layers, such as "mixed_bfloat16", products in bfloat16 with
            weights in float32; None for Keras's global one, as it is now.

    Raises:
        UsageError: if a width, slope or standard deviation is out of range, or the policy
            doesn't serve.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (64,),
        kernel_size: int = 3,
        activation: str = "relu",
        init_std: float | None = None,
        zero_last: bool = True,
        negative_slope: float = 0.0,
        dtype: str | None = None,
    ):
        check_widths(hidden)
        activation_of(activation, negative_slope)
        self.hidden = list(hidden)
        self.kernel_size = kernel_size
        self.activation = activation
        self.init_std = init_std
        self.zero_last = zero_last
        self.negative_slope = negative_slope
        self.dtype = policy_name(dtype)

    def __call__(self, channels_out: int) -> keras.Sequential:
        """Returns a new subnet with `channels_out` output channels."""
        inner, last = initializers(self.init_std, self.zero_last)

        def conv(channels, **options):
            return keras.layers.Conv2D(
                channels, self.kernel_size, padding="same", dtype=self.dtype, **options
            )

        activation = activation_of(self.activation, self.negative_slope, self.dtype)
        layers = [conv(n, activation=activation, **inner) for n in self.hidden]
        return keras.Sequential([*layers, conv(channels_out, **last)])

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ConvNet:
        """Rebuilds the maker of a `get_config`."""
        return cls(**config)
