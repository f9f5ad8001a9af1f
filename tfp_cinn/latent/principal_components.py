"""Principal components of latents, and walks along them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg

from tfp_cinn.errors import UsageError
from tfp_cinn.latent.arguments import at_least

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
        directions: `[K, D]`, orthonormal, the largest entry of each positive.
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
    def of(cls, z: Any, num_components: int | None = None) -> PrincipalComponents:
        """Compute the principal components of latents.

        Decomposes the smaller of the D x D covariance and the N x N Gram matrix, in float64:
        10,000 latents take seconds in 2000 dimensions, minutes in 8000. Standard deviations below
        1e-8 of the largest are rounding error.

        Args:
            z: latents, `[N, ...]` of 2 or more; flattened to `[N, D]`.
            num_components: K, at most min(N - 1, D), the default.

        Raises:
            UsageError: if there are too few latents, some aren't finite, all are equal, or K is out
                of range.
        """
        z = np.asarray(z)
        if z.ndim < 2 or len(z) < 2:
            raise UsageError(f"z: expected latents [N, D] of N = 2 or more, got shape {z.shape}")
        z = z.reshape(len(z), -1).astype(np.float64)
        if not np.isfinite(z).all():
            raise UsageError("z: expected finite latents, some are NaN or infinite; leave them out")
        count, dimensions = z.shape
        rank = min(count - 1, dimensions)
        if num_components is None:
            num_components = rank
        if at_least("num_components", num_components, 1) > rank:
            raise UsageError(
                f"num_components: expected up to {rank}, as there are {count} latents of "
                f"{dimensions} dimensions, got {num_components}"
            )
        mean = z.mean(axis=0)
        z -= mean
        total = (z**2).sum()
        if not total:
            raise UsageError("z: expected latents that differ, all are equal")
        wide = dimensions > count
        square = z @ z.T if wide else z.T @ z
        last = len(square) - 1
        values, vectors = scipy.linalg.eigh(
            square, subset_by_index=[last - num_components + 1, last]
        )
        values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
        directions = np.linalg.qr(z.T @ vectors)[0].T if wide else vectors.T
        largest = np.take_along_axis(
            directions, np.abs(directions).argmax(axis=1)[:, np.newaxis], axis=1
        )
        return cls(
            mean=mean,
            directions=directions * np.where(largest < 0, -1.0, 1.0),
            stds=np.sqrt(values / (count - 1)),
            explained=values / total,
            noise_edge=1 + float(np.sqrt(dimensions / count)),
        )

    def walk(self, index: int, steps: int, extent: float = 3.0) -> np.ndarray:
        """Return latents mean + s stds_k d_k for s from -extent to extent, in equal steps.

        Args:
            index: k, counted from 0.
            steps: number of latents, 2 or more; the middle one of an odd number is the mean.
            extent: in standard deviations, above 0.

        Returns:
            float32 `[steps, D]`.

        Raises:
            UsageError: if an argument is out of range.
        """
        if not 0 <= at_least("index", index, 0) < len(self.stds):
            raise UsageError(
                f"index: expected 0 to {len(self.stds) - 1}, one of {len(self.stds)} components, "
                f"got {index}"
            )
        if not 0 < extent < np.inf:
            raise UsageError(f"extent: expected a finite number above 0, got {extent}")
        s = np.linspace(-extent, extent, at_least("steps", steps, 2))[:, np.newaxis]
        return (self.mean + s * self.stds[index] * self.directions[index]).astype(np.float32)
