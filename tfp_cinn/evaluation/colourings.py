"""How good and how varied colourings of photographs are."""

from __future__ import annotations

import numpy as np

from tfp_cinn.evaluation.estimate import Estimate

__all__ = ["best_of", "chroma", "pixel_variance", "rms_error"]


def rms_error(colourings: np.ndarray, truth: np.ndarray) -> Estimate:
    """RMS error of the first colouring of each photograph, in percent of the range of RGB.

        100 sqrt(mean over pixels and channels of (x_1 - truth)^2), averaged over photographs

    Args:
        colourings: sRGB in [0, 1], `[N, K, H, W, 3]`.
        truth: the photographs, `[N, H, W, 3]`.
    """
    return best_of(colourings[:, :1], truth)


def best_of(colourings: np.ndarray, truth: np.ndarray, per_image: bool = False) -> Estimate:
    """RMS error of the best of K colourings, in percent of the range of RGB.

        100 sqrt(mean over pixels and channels of min_k (x_k - truth)^2)

    averaged over photographs: as in the paper's code (compare_methods.py of colorization_cINN), the
    best is chosen at each pixel and channel anew, so that more variance alone lowers it.
    `per_image` chooses the best image instead.

    Args:
        colourings: sRGB in [0, 1], `[N, K, H, W, 3]`.
        truth: the photographs, `[N, H, W, 3]`.
        per_image: whether to choose among whole images.

    Source: arXiv 1907.02392, table of best-of-8 errors.
    """
    errors = (colourings - truth[:, np.newaxis]) ** 2
    if per_image:
        best = errors.mean(axis=(2, 3, 4)).min(axis=1)
    else:
        best = errors.min(axis=1).mean(axis=(1, 2, 3))
    return Estimate.of(100 * np.sqrt(best))


def pixel_variance(colourings: np.ndarray) -> Estimate:
    """Variance over the K colourings of a photograph, mean over pixels and channels.

    The divisor is K, as in the paper's code.

    Args:
        colourings: sRGB in [0, 1], `[N, K, H, W, 3]`, K of 2 or more.
    """
    return Estimate.of(colourings.var(axis=1).mean(axis=(1, 2, 3)))


def chroma(ab: np.ndarray) -> Estimate:
    """Mean chroma sqrt(a^2 + b^2) of each photograph: 0 is grey.

    Args:
        ab: of CIE Lab, `[N, ..., 2]`.
    """
    length = np.hypot(ab[..., 0], ab[..., 1])
    return Estimate.of(length.mean(axis=tuple(range(1, length.ndim))))
