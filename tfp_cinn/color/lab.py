"""sRGB and CIE Lab."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn.errors import UsageError

__all__ = ["LAB_OFFSETS", "LAB_SCALES", "as_channels", "lab_to_rgb", "rgb_to_lab"]

LAB_OFFSETS = (47.5, 2.4, 7.4)
"""Approximate means of L, a and b in photographs.

Source: `offsets` and, for `LAB_SCALES`, `scales` in `colorization_cINN/data.py` and
`colorization_minimal_example/data.py` of https://github.com/vislearn/conditional_INNs at 19e316c.
"""
LAB_SCALES = (25.6, 11.2, 16.8)
"""Approximate standard deviations of L, a and b in photographs."""

# Rounded as in scikit-image, which the paper used; exact constants would move a and b of grays by
# 0.005.
_XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_RGB_FROM_XYZ = np.linalg.inv(_XYZ_FROM_RGB).tolist()
_WHITE = (0.95047, 1.0, 1.08883)
_GAMMA, _RGB_KNEE, _LINEAR_KNEE = 2.4, 0.04045, 0.0031308
_XYZ_KNEE, _F_KNEE = 0.008856, 0.2068966
_F_SLOPE, _F_OFFSET = 7.787, 16.0 / 116.0


def rgb_to_lab(rgb: Any) -> tf.Tensor:
    """Convert sRGB to CIE Lab (D65, 2 degree observer).

        v = ((rgb + 0.055) / 1.055)^2.4          (rgb / 12.92 up to 0.04045)
        X, Y, Z = M v / (0.95047, 1, 1.08883)
        f(t) = t^(1/3)                           (7.787 t + 16/116 up to 0.008856)
        L = 116 f(Y) - 16,   a = 500 (f(X) - f(Y)),   b = 200 (f(Y) - f(Z))

    Equals scikit-image's `rgb2lab` on all 2^24 8-bit colors: to 3e-13 in float64, and in float32 to
    3e-5 in L and 2e-4 in a and b. Grays have |a|, |b| < 0.005, as there, since the constants are
    rounded. The same formulas apply outside [0, 1], and gradients are finite everywhere.

    Args:
        rgb: `[..., 3]`, floats in [0, 1].

    Returns:
        `[..., 3]`: L in 0..100, a in about -86..98, b in about -108..94.

    Raises:
        UsageError: if the dtype is an integer or there aren't three channels.
    """
    rgb = as_channels("rgb", rgb, 3)
    # Keep the unused branch away from 0, where its infinite slope would give 0 * inf = NaN.
    power = ((tf.maximum(rgb, _RGB_KNEE) + 0.055) / 1.055) ** _GAMMA
    linear = tf.where(rgb > _RGB_KNEE, power, rgb / 12.92)
    xyz = _mix(_XYZ_FROM_RGB, tf.unstack(linear, axis=-1))
    x, y, z = (_f(t / white) for t, white in zip(xyz, _WHITE, strict=True))
    return tf.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)


def lab_to_rgb(lab: Any, clip: bool = True) -> tf.Tensor:
    """Convert CIE Lab (D65, 2 degree observer) to sRGB: the inverse of `rgb_to_lab`.

    Not every Lab color exists in sRGB. `clip` sets channels outside [0, 1] to 0 or 1, which equals
    scikit-image's `lab2rgb` for L in 0..100 and a, b in -128..128 to 3e-14 in float64 and 2e-5 in
    float32. Clipped channels have no gradient. For a loss, use `clip=False`: gradients are then
    finite and nowhere 0, and `rgb_to_lab(lab_to_rgb(lab, clip=False))` is lab for any lab (to 2e-4,
    because the constants are rounded).

    Args:
        lab: `[..., 3]`, L in 0..100.
        clip: keep the result in [0, 1].

    Returns:
        `[..., 3]`: sRGB.

    Raises:
        UsageError: if the dtype is an integer or there aren't three channels.
    """
    lab = as_channels("lab", lab, 3)
    L, a, b = tf.unstack(lab, axis=-1)
    y = (L + 16.0) / 116.0
    x, z = y + a / 500.0, y - b / 200.0
    if clip:
        # As scikit-image does; sRGB colors don't change.
        z = tf.maximum(z, 0.0)
    xyz = [_f_inverse(t) * white for t, white in zip((x, y, z), _WHITE, strict=True)]
    linear = tf.stack(_mix(_RGB_FROM_XYZ, xyz), axis=-1)
    power = 1.055 * tf.maximum(linear, _LINEAR_KNEE) ** (1.0 / _GAMMA) - 0.055
    rgb = tf.where(linear > _LINEAR_KNEE, power, 12.92 * linear)
    return tf.clip_by_value(rgb, 0.0, 1.0) if clip else rgb


def as_channels(what: str, value: Any, channels: int) -> tf.Tensor:
    """Return an argument as a tensor; raise a UsageError unless it is floats `[..., channels]`."""
    value = tf.convert_to_tensor(value)
    if value.dtype not in (tf.float32, tf.float64):
        raise UsageError(
            f"{what}: expected float32 or float64, got {value.dtype.name}; divide 8-bit RGB by 255"
        )
    if not value.shape.rank or value.shape[-1] != channels:
        raise UsageError(f"{what}: expected shape [..., {channels}], got {value.shape}")
    return value


def _mix(matrix: Sequence[Sequence[float]], channels: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    # Not a matrix product: TensorFlow may round its factors to 10 bits on GPUs (TensorFloat-32).
    return [sum(m * c for m, c in zip(row, channels, strict=True)) for row in matrix]


def _f(t: tf.Tensor) -> tf.Tensor:
    root = tf.maximum(t, _XYZ_KNEE) ** (1.0 / 3.0)
    return tf.where(t > _XYZ_KNEE, root, _F_SLOPE * t + _F_OFFSET)


def _f_inverse(f: tf.Tensor) -> tf.Tensor:
    return tf.where(f > _F_KNEE, f * f * f, (f - _F_OFFSET) / _F_SLOPE)
