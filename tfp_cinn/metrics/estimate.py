"""A measured quantity and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Estimate"]


class Estimate(NamedTuple):
    """A mean over examples and its standard error; NaN where there are too few examples."""

    mean: float
    standard_error: float

    @classmethod
    def of(cls, values: Any) -> Estimate:
        """Mean and standard error std / sqrt(N) of values `[N]`, one per example."""
        values = np.asarray(values, np.float64)
        if not len(values):
            return cls(math.nan, math.nan)
        error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return cls(float(values.mean()), float(error))

    @classmethod
    def over_classes(cls, values: Any, labels: Any) -> Estimate:
        """Mean over classes of the mean within each, so that every class counts alike.

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
        """A statistic and its bootstrap error, over groups of values that belong together.

        Groups are drawn with replacement, each with all of its values; the error is the standard
        deviation of the statistic over such resamples. Values of a group may depend on each other
        as they like.

        Args:
            values: `[N, ...]`, one per example.
            groups: `[N]`, the group of each; every example its own if None.
            statistic: of `[n, ...]`, whatever n.
            num_resamples: how often; the paper's code uses 256, good for 4 % of the error.
            seed: of the resamples.

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
        """A statistic and its jackknife error, over groups of values that belong together.

        The groups are dealt into B blocks; theta_b is the statistic of all but block b, and

            error = sqrt((B - 1) / B sum_b (theta_b - mean theta)^2)

        For statistics that repeated values distort, which a bootstrap has: a Frechet distance of a
        few dozen images is larger in resamples, and spreads 1.5 to 2 times too much over them; over
        blocks left out, 1.1 to 1.5 times.

        Args:
            values: `[N, ...]`, one per example.
            groups: `[N]`, the group of each; every example its own if None.
            statistic: of `[n, ...]`, whatever n.
            max_blocks: B at most, and at most the number of groups.
            seed: of the dealing, where there are more groups than blocks.

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
        """The estimate in other units."""
        return Estimate(self.mean * factor, self.standard_error * abs(factor))

    def root(self) -> Estimate:
        """Square root of an estimate that is not negative, by the delta method."""
        root = math.sqrt(self.mean)
        return Estimate(root, self.standard_error / (2 * root) if root else self.standard_error)

    def over(self, other: Estimate) -> Estimate:
        """Ratio to an independent estimate, by the delta method; NaN if that is 0."""
        if not other.mean:
            return Estimate(math.nan, math.nan)
        ratio = self.mean / other.mean
        error = math.hypot(self.standard_error, ratio * other.standard_error) / abs(other.mean)
        return Estimate(ratio, error)

    def as_json(self) -> dict[str, float | None]:
        """The two numbers by name; null where JSON has no number for them."""
        return {k: v if math.isfinite(v) else None for k, v in self._asdict().items()}


def _grouped(values: Any, groups: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Values, the number from 0 of the group of each, and how many groups there are."""
    values = np.asarray(values, np.float64)
    if groups is None:
        return values, np.arange(len(values)), len(values)
    names, groups = np.unique(groups, return_inverse=True)
    return values, groups, len(names)
