"""Layers with PyTorch's padding and initial weights, which the published networks use.

Keras's padding of strided convolutions depends on the image's size; PyTorch's is the same on every
side.
"""

from __future__ import annotations

import math
from typing import Any

import keras

__all__ = ["LEAKY_SLOPE", "batch_norm", "conv", "conv_transpose", "dense"]

LEAKY_SLOPE = 0.01
"""Default slope below zero of PyTorch's leaky ReLU."""


def conv(
    x: Any,
    channels: int,
    kernel_size: int = 3,
    strides: int = 1,
    dilation: int = 1,
    padded: bool = True,
    init_std: float | None = None,
) -> Any:
    """Apply a convolution to `[N, H, W, C]`, padded by d (k - 1) / 2 zeros on every side (odd k).

    `init_std` is the standard deviation of normal initial weights and biases; without it they are
    PyTorch's, uniform within +-1 / sqrt(k^2 C).
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
    """Apply an unpadded transposed convolution: n pixels become s (n - 1) + kernel size."""
    start = _start(kernel_size**2 * channels, None)
    return keras.layers.Conv2DTranspose(channels, kernel_size, strides=strides, **start)(x)


def dense(x: Any, units: int) -> Any:
    """Apply a linear layer, `[N, C]` to `[N, units]`."""
    return keras.layers.Dense(units, **_start(x.shape[-1], None))(x)


def batch_norm(x: Any, init_std: float | None = None) -> Any:
    """Apply batch normalization to the last axis; scale and shift start normal, or as 1 and 0."""
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
