"""Argument checks shared by the latent-space tools."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tfp_cinn.distribution import ConditionalTransformedDistribution
from tfp_cinn.errors import UsageError

__all__ = ["as_values", "at_least", "check_distribution"]


def check_distribution(dist: Any) -> None:
    """Raise a UsageError unless `dist` is a flow's distribution (not its model, say)."""
    if not isinstance(dist, ConditionalTransformedDistribution):
        raise UsageError(
            "dist: expected a ConditionalTransformedDistribution, such as model.distribution, got "
            f"{type(dist).__name__}"
        )


def at_least(name: str, value: Any, minimum: int) -> int:
    """Return `value` as an integer, checked to be at least `minimum`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{name}: expected an integer, got {value!r}") from None
    if number < minimum:
        raise UsageError(f"{name}: expected {minimum} or more, got {number}")
    return number


def as_values(name: str, values: Any, minimum: int) -> np.ndarray:
    """Return values as float64 `[N]`, one per example, checked to be at least `minimum` many."""
    try:
        values = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name}: expected numbers, one per example") from None
    if values.ndim != 1 or len(values) < minimum:
        raise UsageError(
            f"{name}: expected [N], one number per example for {minimum} examples or more, got "
            f"shape {values.shape}"
        )
    return values
