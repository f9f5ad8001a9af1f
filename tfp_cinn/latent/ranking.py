"""The most and the least likely of a set."""

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
    """Examples of a set by likelihood.

    Attributes:
        nats_per_dim: -log p(x | c) / D of each, `[N]`, in the order of the set; lower is likelier.
        order: `[N]`, their numbers from the likeliest to the least likely; equals keep the order of
            the set, and what isn't a number comes last.
    """

    nats_per_dim: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, nats_per_dim: Any) -> Ranking:
        """Rank examples by their nats/dim, `[N]`.

        Raises:
            UsageError: if they aren't one number an example.
        """
        values = as_values("nats_per_dim", nats_per_dim, 1)
        return cls(values, np.argsort(values, kind="stable"))

    def most_likely(self, count: int) -> np.ndarray:
        """Numbers of the `count` likeliest, the likeliest first; all if there are fewer."""
        return self.order[: at_least("count", count, 1)]

    def least_likely(self, count: int) -> np.ndarray:
        """Numbers of the `count` least likely, the least likely first; all if there are fewer."""
        return self.order[::-1][: at_least("count", count, 1)]


def rank(dist: ConditionalTransformedDistribution, batches: Iterable[tuple[Any, Any]]) -> Ranking:
    """Rank a set by -log p(x | c) / D, in nats/dim.

    A density is in units of the data: it ranks images of one shape and one noise, no others. Likely
    are images with little to say, such as plain areas, rather than good examples.

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
