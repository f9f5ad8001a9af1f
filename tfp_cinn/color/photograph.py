"""Splitting photographs into lightness and color, and recombining them."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfp_cinn.color.lab import as_channels, lab_to_rgb, rgb_to_lab
from tfp_cinn.color.upsample import area_average, upsample_ab
from tfp_cinn.errors import UsageError

__all__ = ["LabParts", "split_lab", "to_rgb"]


class LabParts(NamedTuple):
    """The parts of a photograph that colorization works with.

    Attributes:
        L: `[..., H, W, 1]`, lightness in 0..100 at full resolution.
        small_L: `[..., h, w, 1]`, lightness at the resolution of ab.
        small_ab: `[..., h, w, 2]`, color, which the flow learns.
    """

    L: tf.Tensor
    small_L: tf.Tensor
    small_ab: tf.Tensor


def split_lab(rgb: Any, size: tuple[int, int]) -> LabParts:
    """Split photographs into lightness at full, and lightness and color at low resolution.

    A low-resolution pixel is the mean of Lab over its area; any sizes work, not only multiples.

    Args:
        rgb: `[..., H, W, 3]`, sRGB as floats in [0, 1].
        size: `(h, w)`, at most (H, W).

    Raises:
        UsageError: if rgb has an integer dtype or another shape, or size is larger.
    """
    lab = rgb_to_lab(as_channels("rgb", rgb, 3))
    if any(m is not None and n > m for n, m in zip(size, lab.shape[-3:-1], strict=True)):
        raise UsageError(f"size: expected at most {lab.shape[-3:-1]}, got {tuple(size)}")
    small = area_average(lab, size)
    return LabParts(lab[..., :1], small[..., :1], small[..., 1:])


def to_rgb(L: Any, ab: Any) -> tf.Tensor:
    """Combine lightness and color of a lower resolution into a photograph.

    12 megapixels take 1.6 GB in float32, or 0.6 GB in a `tf.function`.

    Args:
        L: `[*batch, H, W, 1]`, in 0..100.
        ab: `[..., *batch, h, w, 2]`, of the same dtype; extra dimensions on the left are samples
            for the same photographs.

    Returns:
        `[..., *batch, H, W, 3]`: sRGB in [0, 1], clipped as `lab_to_rgb` does.

    Raises:
        UsageError: as `upsample_ab`.
    """
    L = tf.convert_to_tensor(L)
    ab = upsample_ab(ab, L)
    L = tf.broadcast_to(L, tf.concat([tf.shape(ab)[:-1], [1]], axis=0))
    return lab_to_rgb(tf.concat([L, ab], axis=-1))
