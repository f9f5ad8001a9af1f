"""Sharpness of images."""

from __future__ import annotations

import numpy as np

__all__ = ["sharpness"]


def sharpness(images: np.ndarray) -> np.ndarray:
    """Return the mean squared difference of neighboring pixels.

        mean over pixels and channels of (x(i + 1, j) - x(i, j))^2 + (x(i, j + 1) - x(i, j))^2

    Samples with less than real images are blurred (as a mean of sharp images is), with more, noisy.

    Args:
        images: `[N, H, W, C]`, H and W of 2 or more.

    Returns:
        `[N]`, in the squared units of the images.
    """
    images = np.asarray(images, np.float64)
    steps = (np.diff(images, axis=axis) ** 2 for axis in (1, 2))
    return sum(each.mean(axis=(1, 2, 3)) for each in steps)
