"""A measured quantity and how sure it is."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Estimate"]


class Estimate(NamedTuple):
    """A mean over examples and its standard error; NaN where there are too few examples."""

    mean: float
    standard_error: float

    @classmethod
    def of(cls, values: Any) -> Estimate:
        """Mean and standard error std / sqrt(N) of values `[N]`, one an example."""
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
            values: `[N]`, one an example.
            labels: `[N]`, the class of each.
        """
        values, labels = np.asarray(values, np.float64), np.asarray(labels)
        parts = [cls.of(values[labels == label]) for label in np.unique(labels)]
        if not parts:
            return cls(math.nan, math.nan)
        means, errors = zip(*parts, strict=True)
        return cls(float(np.mean(means)), math.hypot(*errors) / len(parts))

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
