"""Vectors and series as small images, so that they can be drawn where images are."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb

__all__ = ["line_images"]

_HEIGHT, _WIDTH = 48, 64
_BACKGROUND = 0.94


def line_images(series: np.ndarray, low: float, high: float) -> np.ndarray:
    """Draw each series as an image, a line of its own color for each channel; NaN is left out.

    Args:
        series: `[..., T, C]`.
        low: the value at the lower edge.
        high: the value at the upper edge.

    Returns:
        `[..., 48, 64, 3]`, in [0, 1].
    """
    length, channels = series.shape[-2:]
    place = np.linspace(0, length - 1, _WIDTH)
    left = place.astype(int)
    right = np.minimum(left + 1, length - 1)
    share = (place - left)[:, np.newaxis]
    values = (1 - share) * series[..., left, :] + share * series[..., right, :]
    pixel = np.clip((high - values) / (high - low), 0, 1) * (_HEIGHT - 1)
    before = np.concatenate([pixel[..., :1, :], pixel[..., :-1, :]], axis=-2)
    rows = np.arange(_HEIGHT).reshape(-1, 1, 1)
    top, bottom = (
        np.expand_dims(edge, -3) for edge in (np.minimum(before, pixel), np.maximum(before, pixel))
    )
    drawn = (rows >= top - 0.5) & (rows <= bottom + 0.5)
    images = np.full((*drawn.shape[:-1], 3), _BACKGROUND)
    for channel in range(channels):
        images[drawn[..., channel]] = to_rgb(f"C{channel}")
    return images
