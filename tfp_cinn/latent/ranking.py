"""The most and the least likely examples of a data set."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from tfp_cinn.distribution import ConditionalTransformedDistribution
from tfp_cinn.latent.arguments import as_values, at_least, check_distribution
from tfp_cinn.latent.batches import over_batches

__all__ = ["Ranking", "rank"]


class Ranking(NamedTuple):
    """The examples of a data set ordered by likelihood.

    Attributes:
        nats_per_dim: -log p(x | c) / D of each, `[N]`, in the order of the set; lower is likelier.
        order: `[N]`, indices from the likeliest to the least likely; ties keep the order of the
            set, and NaN comes last.
    """

    nats_per_dim: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, nats_per_dim: Any) -> Ranking:
        """Rank examples by their nats/dim, `[N]`.

        Raises:
            UsageError: if they aren't one number per example.
        """
        values = as_values("nats_per_dim", nats_per_dim, 1)
        return cls(values, np.argsort(values, kind="stable"))

    def most_likely(self, count: int) -> np.ndarray:
        """Return the indices of the `count` likeliest (or all), the likeliest first."""
        return self.order[: at_least("count", count, 1)]

    def least_likely(self, count: int) -> np.ndarray:
        """Return the indices of the `count` least likely (or all), the least likely first."""
        return self.order[::-1][: at_least("count", count, 1)]


def rank(dist: ConditionalTransformedDistribution, batches: Iterable[tuple[Any, Any]]) -> Ranking:
    """Rank a set by -log p(x | c) / D, in nats/dim.

    A density depends on the units of the data: rank only images of one shape with the same noise.
    The likeliest images are simple ones, such as plain areas, not the best ones.

    Args:
        dist: the flow's distribution.
        batches: pairs (x, cond), such as a `tf.data.Dataset`.

    Raises:
        UsageError: if there are no batches, or x or cond don't fit.
    """
    check_distribution(dist)
    dimensions = math.prod(dist.event_shape)
    log_prob = over_batches(dist, dist.log_prob, batches, np.ravel)
    return Ranking.of(-log_prob / dimensions)
