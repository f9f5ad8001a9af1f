"""Frechet distance of two sets of features."""

from __future__ import annotations

import numpy as np

from tfp_cinn.errors import UsageError

__all__ = ["frechet_distance"]


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Return the squared Frechet distance of the Gaussians fitted to two sets of features.

        |mu_x - mu_y|^2 + Tr(S_x + S_y - 2 (S_x S_y)^(1/2))

    With A^T A = S_x and B^T B = S_y, the trace of the root is the sum of the singular values of
    A B^T. With fewer images than features, A is the scaled, centered features, and no covariance
    matrix is formed.

    It is biased upward, more so with fewer images: N images span N - 1 of D dimensions, and two
    sets from one distribution span different ones. Compare only distances of equal N.

    Args:
        x: features `[N, D]`, N of 2 or more.
        y: features `[M, D]`, M of 2 or more.

    Returns:
        The distance, 0 or more; NaN if a feature isn't finite.

    Raises:
        UsageError: if the features don't fit together, or are of fewer than two images.

    Source: D. Dowson and B. Landau, J. Multivariate Analysis 12 (1982) 450; on features of a
    classifier: M. Heusel et al., arXiv 1706.08500.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise UsageError(
            "frechet_distance: expected features [N, D] and [M, D] of 2 images or more each, got "
            f"{list(x.shape)} and {list(y.shape)}"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return float("nan")
    a, b = _root(x), _root(y)
    means = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2)
    traces = np.sum(a**2) + np.sum(b**2)
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    distance = means + traces - 2 * overlap
    # Rounding can make the distance of equal sets slightly negative.
    return float(distance) if distance > 1e-12 * traces else 0.0


def _root(x: np.ndarray) -> np.ndarray:
    """Return A of at most D rows, where A^T A is the covariance."""
    centered = (x - x.mean(axis=0)) / np.sqrt(len(x) - 1)
    return np.linalg.qr(centered, mode="r") if len(x) > x.shape[1] else centered
