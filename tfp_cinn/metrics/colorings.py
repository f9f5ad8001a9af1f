"""How good and how varied colorings of photographs are: one number per photograph."""

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
    """RMS error of the best of K colorings, in percent of the range of RGB.

        100 sqrt(mean over pixels and channels of min_k (x_k - truth)^2)

    for each photograph: as in the paper's code (compare_methods.py of colorization_cINN), the best
    is chosen at each pixel and channel anew, so that more variance alone lowers it. `per_image`
    chooses the best image instead.

    Args:
        colorings: sRGB in [0, 1], `[N, K, H, W, 3]`.
        truth: the photographs, `[N, H, W, 3]`.
        per_image: whether to choose among whole images.

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
    """Variance over the K colorings of each photograph, mean over pixels and channels.

    The divisor is K, as in the paper's code.

    Args:
        colorings: sRGB in [0, 1], `[N, K, H, W, 3]`.

    Returns:
        `[N]`; 0 for K of 1.
    """
    return colorings.var(axis=1).mean(axis=(1, 2, 3))


def chroma(ab: np.ndarray) -> np.ndarray:
    """Mean chroma sqrt(a^2 + b^2) of each photograph: 0 is gray.

    Args:
        ab: of CIE Lab, `[N, ..., 2]`.

    Returns:
        `[N]`.
    """
    length = np.hypot(ab[..., 0], ab[..., 1])
    return length.mean(axis=tuple(range(1, length.ndim)))


def chroma_histogram(ab: np.ndarray) -> np.ndarray:
    """How many of the pixels of each photograph have which chroma.

    Args:
        ab: of CIE Lab, `[N, ..., 2]`.

    Returns:
        Shares `[N, bins]` that add up to 1, in bins of 0.5 Lab units; NaN for a photograph with a
        pixel that isn't finite.
    """
    length = np.hypot(ab[..., 0], ab[..., 1]).reshape(len(ab), -1)
    finite = np.isfinite(length).all(axis=1)
    bins = np.clip(np.where(finite[:, np.newaxis], length, 0) / _BIN, 0, _BINS - 1).astype(int)
    shares = np.stack([np.bincount(row, minlength=_BINS) for row in bins]) / length.shape[1]
    return np.where(finite[:, np.newaxis], shares, np.nan)


def chroma_distance(histograms: np.ndarray) -> float:
    """How far pixels' chroma has to move for colorings to be as colorful as photographs.

        integral over c of |F_colorings(c) - F_photographs(c)|

    the Wasserstein distance of the distributions of chroma over the pixels of all photographs, in
    Lab units, to within a bin. Unlike the mean it tells colorings that are all equally colorful
    from ones that are gray here and saturated there.

    Args:
        histograms: `[N, 2, bins]`, those of `chroma_histogram` of the colorings of each photograph
            and of itself.
    """
    colorings, photographs = histograms.mean(axis=0).cumsum(axis=-1)
    return float(_BIN * np.abs(colorings - photographs).sum())


def top5_agreement(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return whether a classifier sees in a coloring what it sees in the photograph.

    1 where the class that is first for the photograph is among the first five for the coloring,
    else 0. It needs no labels, and no photograph of one of the classifier's classes; the
    photographs themselves have 1. A top-5 accuracy is another thing: it counts labels, and
    photographs themselves miss some of those.

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
