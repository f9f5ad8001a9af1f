"""Quality and variety of colorings of photographs: one number per photograph."""

from __future__ import annotations

import numpy as np

__all__ = [
    "best_of",
    "chroma",
    "chroma_distance",
    "chroma_histogram",
    "pixel_variance",
    "top5_agreement",
]

_BIN = 0.5  # Lab units
_BINS = 280  # up to a chroma of 140; that of the sRGB gamut is 134 at most


def best_of(colorings: np.ndarray, truth: np.ndarray, per_image: bool = False) -> np.ndarray:
    """Return the RMS error of the best of K colorings, in percent of the range of RGB.

        100 sqrt(mean over pixels and channels of min_k (x_k - truth)^2)

    for each photograph. As in the paper's code (compare_methods.py of colorization_cINN), the best
    is chosen separately at each pixel and channel, so more variance alone lowers it. `per_image`
    chooses the best whole image instead.

    Args:
        colorings: sRGB in [0, 1], `[N, K, H, W, 3]`.
        truth: the photographs, `[N, H, W, 3]`.
        per_image: whether to choose whole images.

    Returns:
        `[N]`.

    Source: arXiv 1907.02392, table of best-of-8 errors.
    """
    errors = (colorings - truth[:, np.newaxis]) ** 2
    if per_image:
        best = errors.mean(axis=(2, 3, 4)).min(axis=1)
    else:
        best = errors.min(axis=1).mean(axis=(1, 2, 3))
    return 100 * np.sqrt(best)


def pixel_variance(colorings: np.ndarray) -> np.ndarray:
    """Return the variance over K colorings of each photograph, averaged over pixels and channels.

    The divisor is K, as in the paper's code.

    Args:
        colorings: sRGB in [0, 1], `[N, K, H, W, 3]`.

    Returns:
        `[N]`; 0 for K of 1.
    """
    return colorings.var(axis=1).mean(axis=(1, 2, 3))


def chroma(ab: np.ndarray) -> np.ndarray:
    """Return the mean chroma sqrt(a^2 + b^2) of each photograph: 0 is gray.

    Args:
        ab: of CIE Lab, `[N, ..., 2]`.

    Returns:
        `[N]`.
    """
    length = np.hypot(ab[..., 0], ab[..., 1])
    return length.mean(axis=tuple(range(1, length.ndim)))


def chroma_histogram(ab: np.ndarray) -> np.ndarray:
    """Return the histogram of the pixels' chroma for each photograph.

    Args:
        ab: of CIE Lab, `[N, ..., 2]`.

    Returns:
        Shares `[N, bins]` that add up to 1, in bins of 0.5 Lab units; NaN for photographs with a
        pixel that isn't finite.
    """
    length = np.hypot(ab[..., 0], ab[..., 1]).reshape(len(ab), -1)
    finite = np.isfinite(length).all(axis=1)
    bins = np.clip(np.where(finite[:, np.newaxis], length, 0) / _BIN, 0, _BINS - 1).astype(int)
    shares = np.stack([np.bincount(row, minlength=_BINS) for row in bins]) / length.shape[1]
    return np.where(finite[:, np.newaxis], shares, np.nan)


def chroma_distance(histograms: np.ndarray) -> float:
    """Return the distance of the distributions of chroma in colorings and photographs.

        integral over c of |F_colorings(c) - F_photographs(c)|

    This is the Wasserstein distance between the distributions of chroma over all pixels, in Lab
    units, to within a bin. Unlike the mean, it distinguishes uniformly colorful colorings from ones
    that are gray in some places and saturated in others.

    Args:
        histograms: `[N, 2, bins]`, `chroma_histogram` of each photograph's colorings and of itself.
    """
    colorings, photographs = histograms.mean(axis=0).cumsum(axis=-1)
    return float(_BIN * np.abs(colorings - photographs).sum())


def top5_agreement(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return whether a classifier sees in a coloring what it sees in the photograph.

    1 if the photograph's top class is among the coloring's top five, else 0; 1 for the photograph
    itself. Unlike a top-5 accuracy, it needs neither labels nor photographs of the classifier's
    classes.

    Args:
        logits: of the colorings, `[N, K]`.
        truth: of the photographs, `[N, K]`.

    Returns:
        `[N]`; NaN where logits aren't finite.
    """
    first = truth.argmax(axis=1)[:, np.newaxis]
    above = (logits > np.take_along_axis(logits, first, axis=1)).sum(axis=1)
    finite = np.isfinite(logits).all(axis=1) & np.isfinite(truth).all(axis=1)
    return np.where(finite, above < 5, np.nan)
