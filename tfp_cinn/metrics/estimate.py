"""Estimates with standard errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Estimate"]


class Estimate(NamedTuple):
    """A value and its standard error; NaN where there are too few examples."""

    mean: float
    standard_error: float

    @classmethod
    def of(cls, values: Any) -> Estimate:
        """Return the mean and standard error std / sqrt(N) of values `[N]`, one per example."""
        values = np.asarray(values, np.float64)
        if not len(values):
            return cls(math.nan, math.nan)
        error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return cls(float(values.mean()), float(error))

    @classmethod
    def over_classes(cls, values: Any, labels: Any) -> Estimate:
        """Return the mean over classes of the mean within each, so that classes count alike.

        With K classes, mean = sum_k mean_k / K and error = sqrt(sum_k error_k^2) / K.

        Args:
            values: `[N]`, one per example.
            labels: `[N]`, the class of each.
        """
        values, labels = np.asarray(values, np.float64), np.asarray(labels)
        parts = [cls.of(values[labels == label]) for label in np.unique(labels)]
        if not parts:
            return cls(math.nan, math.nan)
        means, errors = zip(*parts, strict=True)
        return cls(float(np.mean(means)), math.hypot(*errors) / len(parts))

    @classmethod
    def bootstrap(
        cls,
        values: Any,
        groups: Any = None,
        statistic: Callable[[np.ndarray], float] = np.mean,
        num_resamples: int = 256,
        seed: int = 0,
    ) -> Estimate:
        """Return a statistic and its bootstrap error over groups of dependent values.

        Draws whole groups with replacement; the error is the standard deviation of the statistic
        over these resamples.

        Args:
            values: `[N, ...]`, one per example.
            groups: `[N]`, the group of each; if None, every example is its own.
            statistic: a function of `[n, ...]` for any n.
            num_resamples: number of resamples; the paper's 256 give the error to within 4 %.
            seed: seed of the resamples.

        Source: B. Efron, Ann. Statist. 7 (1979) 1.
        """
        values, groups, count = _grouped(values, groups)
        if count < 2:
            return cls(float(statistic(values)) if len(values) else math.nan, math.nan)
        rng = np.random.RandomState(seed)
        resampled = []
        for _ in range(num_resamples):
            times = np.bincount(rng.randint(count, size=count), minlength=count)
            resampled.append(statistic(np.repeat(values, times[groups], axis=0)))
        return cls(float(statistic(values)), float(np.std(resampled, ddof=1)))

    @classmethod
    def jackknife(
        cls,
        values: Any,
        groups: Any = None,
        statistic: Callable[[np.ndarray], float] = np.mean,
        max_blocks: int = 32,
        seed: int = 0,
    ) -> Estimate:
        """Return a statistic and its jackknife error over groups of dependent values.

        The groups are dealt into B blocks; theta_b is the statistic without block b, and

            error = sqrt((B - 1) / B sum_b (theta_b - mean theta)^2)

        For statistics that the repeated values of a bootstrap distort: a Frechet distance of a few
        dozen images is larger in resamples, and its bootstrap error is 1.5 to 2 times too large;
        its jackknife error, 1.1 to 1.5 times.

        Args:
            values: `[N, ...]`, one per example.
            groups: `[N]`, the group of each; if None, every example is its own.
            statistic: a function of `[n, ...]` for any n.
            max_blocks: upper limit of B; the number of groups is another.
            seed: seed of the dealing, if there are more groups than blocks.

        Source: B. Efron and C. Stein, Ann. Statist. 9 (1981) 586.
        """
        values, groups, count = _grouped(values, groups)
        if count < 2:
            return cls(float(statistic(values)) if len(values) else math.nan, math.nan)
        number = min(max_blocks, count)
        block = np.random.RandomState(seed).permutation(count)[groups] % number
        left = np.array([statistic(values[block != b]) for b in range(number)])
        error = math.sqrt((number - 1) * left.var())
        return cls(float(statistic(values)), error)

    def scaled(self, factor: float) -> Estimate:
        """Return the estimate in other units."""
        return Estimate(self.mean * factor, self.standard_error * abs(factor))

    def root(self) -> Estimate:
        """Return the square root of a non-negative estimate, by the delta method."""
        root = math.sqrt(self.mean)
        return Estimate(root, self.standard_error / (2 * root) if root else self.standard_error)

    def over(self, other: Estimate) -> Estimate:
        """Return the ratio to an independent estimate, by the delta method; NaN if that is 0."""
        if not other.mean:
            return Estimate(math.nan, math.nan)
        ratio = self.mean / other.mean
        error = math.hypot(self.standard_error, ratio * other.standard_error) / abs(other.mean)
        return Estimate(ratio, error)

    def as_json(self) -> dict[str, float | None]:
        """Return both numbers by name; None for values that JSON can't hold."""
        return {k: v if math.isfinite(v) else None for k, v in self._asdict().items()}


def _grouped(values: Any, groups: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the values, the index of each one's group, and the number of groups."""
    values = np.asarray(values, np.float64)
    if groups is None:
        return values, np.arange(len(values)), len(values)
    names, groups = np.unique(groups, return_inverse=True)
    return values, groups, len(names)
