"""Arguments that several of the tools check."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tfp_cinn.distribution import ConditionalTransformedDistribution
from tfp_cinn.errors import UsageError

__all__ = ["as_values", "at_least", "check_distribution"]


def check_distribution(dist: Any) -> None:
    """Refuse what isn't the distribution of a flow, such as its model."""
    if not isinstance(dist, ConditionalTransformedDistribution):
        raise UsageError(
            "dist: expected a ConditionalTransformedDistribution, such as model.distribution, got "
            f"{type(dist).__name__}"
        )


def at_least(name: str, value: Any, minimum: int) -> int:
    """Return an integer that is `minimum` or more."""
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{name}: expected an integer, got {value!r}") from None
    if number < minimum:
        raise UsageError(f"{name}: expected {minimum} or more, got {number}")
    return number


def as_values(name: str, values: Any, minimum: int) -> np.ndarray:
    """Return one number an example, float64 `[N]`, of `minimum` or more examples."""
    try:
        values = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name}: expected numbers, one an example") from None
    if values.ndim != 1 or len(values) < minimum:
        raise UsageError(
            f"{name}: expected [N], one number an example for {minimum} examples or more, got "
            f"shape {values.shape}"
        )
    return values
