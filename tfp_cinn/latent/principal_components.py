"""Principal components of latents, and walks along them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tfp_cinn.errors import UsageError

__all__ = ["PrincipalComponents"]


class PrincipalComponents(NamedTuple):
    """Mean and principal axes of a set of latents, the widest axis first.

    With the covariance S = sum_i (z_i - mean)(z_i - mean)^T / (N - 1) of N latents, directions d_k
    are its eigenvectors, variances its eigenvalues: S d_k = stds_k^2 d_k.

    If the flow fits perfectly, z is N(0, I) and has no preferred axes: any that stand out are
    structure the flow missed, or chance. Even for N(0, I), the widest axis of N latents in D
    dimensions has a standard deviation of about `noise_edge` = 1 + sqrt(D / N); an axis well above
    it reflects the data. The paper finds the width, thickness and slant of digits this way, mixing
    several axes by hand.

    Attributes:
        mean: `[D]`.
        directions: `[K, D]`, orthonormal; K = min(N - 1, D).
        stds: `[K]`, standard deviations along them.
        explained: `[K]`, shares of the variance of all D dimensions.
        noise_edge: standard deviation along the widest axis that N draws of N(0, I) would have.

    Source: arXiv 1907.02392, sec. 4; `val_set_pca` in the published mnist_cINN/eval.py. The edge:
    V. A. Marchenko and L. A. Pastur, Math. USSR Sb. 1 (1967) 457.
    """

    mean: np.ndarray
    directions: np.ndarray
    stds: np.ndarray
    explained: np.ndarray
    noise_edge: float

    @classmethod
    def of(cls, z: Any) -> PrincipalComponents:
        """Compute the principal components of latents `[N, D]`, in float64.

        Raises:
            UsageError: if there are fewer than two latents, or some aren't finite.
        """
        z = np.asarray(z, np.float64)
        if len(z) < 2 or not np.isfinite(z).all():
            raise UsageError(f"z: expected two finite latents or more, got {len(z)}, or NaN in one")
        mean = z.mean(axis=0)
        count, dimensions = z.shape
        _, widths, directions = np.linalg.svd(z - mean, full_matrices=False)
        variances = widths[: count - 1] ** 2 / (count - 1)
        return cls(
            mean=mean,
            directions=directions[: count - 1],
            stds=np.sqrt(variances),
            explained=variances / variances.sum(),
            noise_edge=1 + float(np.sqrt(dimensions / count)),
        )

    def walk(self, index: int, steps: int, extent: float = 3.0) -> np.ndarray:
        """Return latents mean + s stds_k d_k for s from -extent to extent: float32 `[steps, D]`.

        Args:
            index: k, counted from 0.
            steps: number of latents; the middle one of an odd number is the mean.
            extent: in standard deviations.
        """
        s = np.linspace(-extent, extent, steps)[:, np.newaxis]
        return np.float32(self.mean + s * self.stds[index] * self.directions[index])
