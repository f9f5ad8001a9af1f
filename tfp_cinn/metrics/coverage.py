"""Coverage of the real examples by samples, which reveals collapsed modes."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from tfp_cinn.errors import UsageError

__all__ = ["coverage", "recall"]


def coverage(real: np.ndarray, samples: np.ndarray, k: int = 5) -> np.ndarray:
    """Return whether a sample lies near each real example.

        min_j |r_i - s_j| <= |r_i - its k-th nearest other real example|

    The mean is the share of real examples that samples cover: about 1 - 2^-k for as many samples
    from the distribution itself, and half of that for samples that miss half the modes.

    Args:
        real: features of real examples, `[N, D]`.
        samples: features of samples, `[M, D]`; more samples cover more.
        k: number of neighbors that define an example's neighborhood, 1 to N - 1.

    Returns:
        Booleans `[N]`; none is True if no sample is finite.

    Raises:
        UsageError: if the features don't fit together, or k doesn't fit.

    Source: M. F. Naeem et al., arXiv 2002.09797, eq. 8.
    """
    real, samples = _checked(real, samples, k)
    if not len(samples):
        return np.zeros(len(real), bool)
    nearest, _ = NearestNeighbors(n_neighbors=1).fit(samples).kneighbors(real)
    return nearest[:, 0] <= _radii(real, k)


def recall(real: np.ndarray, samples: np.ndarray, k: int = 5) -> np.ndarray:
    """Return whether each real example lies within the support estimated from the samples.

        |r_i - s_j| <= |s_j - its k-th nearest other sample|    for some j

    Unlike in `coverage`, one outlier among the samples, whose neighborhood is wide, can reach many
    examples.

    Args:
        real: features of real examples, `[N, D]`.
        samples: features of samples, `[M, D]`; those that aren't finite are left out.
        k: number of neighbors that define a sample's neighborhood, 1 to min(N, M) - 1.

    Returns:
        Booleans `[N]`.

    Raises:
        UsageError: if the features don't fit together, or k doesn't fit.

    Source: T. Kynkaanniemi et al., arXiv 1904.06991, eq. 2.
    """
    real, samples = _checked(real, samples, k)
    if len(samples) <= k:
        return np.zeros(len(real), bool)
    radii = _radii(samples, k)
    reached = np.zeros(len(real), bool)
    for start in range(0, len(real), _CHUNK):
        chunk = real[start : start + _CHUNK]
        squares = (chunk**2).sum(axis=1)[:, np.newaxis] + (samples**2).sum(axis=1)
        distances = np.sqrt(np.maximum(squares - 2 * chunk @ samples.T, 0))
        reached[start : start + _CHUNK] = (distances <= radii).any(axis=1)
    return reached


_CHUNK = 1024


def _radii(x, k):
    """Return the distance of each row to its k-th nearest other row."""
    distances, _ = NearestNeighbors(n_neighbors=k).fit(x).kneighbors()  # leaves the row itself out
    return distances[:, -1]


def _checked(real, samples, k):
    real, samples = np.asarray(real, np.float64), np.asarray(samples, np.float64)
    if real.ndim != 2 or samples.ndim != 2 or real.shape[1] != samples.shape[1]:
        raise UsageError(
            "coverage, recall: expected features [N, D] and [M, D], got "
            f"{real.shape} and {samples.shape}"
        )
    if not 1 <= k < len(real):
        raise UsageError(f"k: expected 1 to {len(real) - 1} for {len(real)} examples, got {k}")
    return real, samples[np.isfinite(samples).all(axis=1)]
