"""Layers as PyTorch has them: its padding and its starting weights.

Keras pads strided convolutions by what the image's size leaves over, PyTorch by the same number of
zeros on every side. The published networks are PyTorch's, and so are their weights.
"""

from __future__ import annotations

import math
from typing import Any

import keras

__all__ = ["LEAKY_SLOPE", "batch_norm", "conv", "conv_transpose", "dense"]

LEAKY_SLOPE = 0.01
"""Slope below zero of PyTorch's leaky ReLU, if it isn't given."""


def conv(
    x: Any,
    channels: int,
    kernel_size: int = 3,
    strides: int = 1,
    dilation: int = 1,
    padded: bool = True,
    init_std: float | None = None,
) -> Any:
    """Convolution of `[N, H, W, C]` with d (k - 1) / 2 zeros on every side, k odd, or without any.

    Args:
        x: a Keras tensor.
        channels: number of output channels.
        kernel_size: k.
        strides: step of the output's pixels.
        dilation: d, step of the kernel's pixels.
        padded: whether to pad at all.
        init_std: standard deviation of the normal from which weights and bias are drawn; None for
            PyTorch's own, uniform within +-1 / sqrt(k^2 C).
    """
    padding = "valid"
    if padded and strides == 1:
        padding = "same"
    elif padded:
        x = keras.layers.ZeroPadding2D(dilation * (kernel_size // 2))(x)
    return keras.layers.Conv2D(
        channels,
        kernel_size,
        strides=strides,
        padding=padding,
        dilation_rate=dilation,
        **_start(kernel_size**2 * x.shape[-1], init_std),
    )(x)


def conv_transpose(x: Any, channels: int, kernel_size: int, strides: int) -> Any:
    """Transposed convolution without padding: n pixels become s (n - 1) + k, k the kernel size."""
    start = _start(kernel_size**2 * channels, None)
    return keras.layers.Conv2DTranspose(channels, kernel_size, strides=strides, **start)(x)


def dense(x: Any, units: int) -> Any:
    """Linear layer `[N, C]` to `[N, units]`."""
    return keras.layers.Dense(units, **_start(x.shape[-1], None))(x)


def batch_norm(x: Any, init_std: float | None = None) -> Any:
    """Batch normalization of the last axis.

    Args:
        x: a Keras tensor.
        init_std: standard deviation of the normal from which scale and shift are drawn; None for 1
            and 0.
    """
    start = {}
    if init_std is not None:
        start = {"gamma_initializer": _normal(init_std), "beta_initializer": _normal(init_std)}
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **start)(x)


def _start(fan_in: int, init_std: float | None) -> dict[str, Any]:
    if init_std is not None:
        return {
            "kernel_initializer": _normal(init_std),
            "bias_initializer": _normal(init_std),
        }
    bound = 1 / math.sqrt(fan_in)
    return {
        "kernel_initializer": keras.initializers.RandomUniform(-bound, bound),
        "bias_initializer": keras.initializers.RandomUniform(-bound, bound),
    }


def _normal(std: float) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=std)
