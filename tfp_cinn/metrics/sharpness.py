"""How much detail images have."""

from __future__ import annotations

import numpy as np

__all__ = ["sharpness"]


def sharpness(images: np.ndarray) -> np.ndarray:
    """Mean squared difference of neighboring pixels.

        mean over pixels and channels of (x(i + 1, j) - x(i, j))^2 + (x(i, j + 1) - x(i, j))^2

    As a ratio of samples' to real images': below 1 they are blurred, above 1 they are noisy. A mean
    of several sharp images is blurred, and has less.

    Args:
        images: `[N, H, W, C]`, H and W of 2 or more.

    Returns:
        `[N]`, in the squared units of the images.
    """
    images = np.asarray(images, np.float64)
    steps = (np.diff(images, axis=axis) ** 2 for axis in (1, 2))
    return sum(each.mean(axis=(1, 2, 3)) for each in steps)
