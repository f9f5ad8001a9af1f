"""Detection of inputs that are foreign to a flow."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata

from tfp_cinn.errors import UsageError

__all__ = ["Typicality", "auroc"]


class Typicality(NamedTuple):
    """A test of whether an input is typical of a model.

        foreign  iff  |-log p(x | c) / D - H| > threshold

    where H, the mean of -log p / D over held-out data, estimates the entropy, and the threshold is
    the quantile of the left side over held-out data that gives the requested false-alarm rate.
    Unlike a threshold on the likelihood, it also rejects inputs that are too likely: flows give
    plain images more density than their training images, though they never sample any. It can't
    reject inputs whose likelihood is ordinary by accident, where `|z|^2` and `log|det|` cancel.

    The published test is for groups of M inputs; this is M = 1, its weakest case.

    Attributes:
        entropy: H, nats/dim.
        threshold: nats/dim.

    Source: E. Nalisnick et al., "Detecting out-of-distribution inputs to deep generative models
    using typicality", arXiv 1906.02994. That likelihood alone fails: E. Nalisnick et al., "Do deep
    generative models know what they don't know?", arXiv 1810.09136.
    """

    entropy: float
    threshold: float

    @classmethod
    def of(cls, nats_per_dim: Any, false_alarms: float = 0.05) -> Typicality:
        """Make the test that calls a share `false_alarms` of held-out data foreign.

        Args:
            nats_per_dim: -log p(x | c) / D of held-out examples, `[N]`. Those of training data are
                too low.
            false_alarms: that share, 1/N to 1/2.

        Raises:
            UsageError: if there are too few examples for that share, or some aren't finite.
        """
        values = np.asarray(nats_per_dim, np.float64)
        if not 0 < false_alarms <= 0.5 or len(values) * false_alarms < 1 - 1e-9:
            raise UsageError(
                f"false_alarms: expected 1/{len(values)}, as of {len(values)} held-out examples, "
                f"to 1/2, got {false_alarms}"
            )
        if not np.isfinite(values).all():
            raise UsageError("nats_per_dim: expected finite numbers of held-out examples")
        entropy = values.mean()
        # Round the rank up, as in conformal prediction: new data exceed it no more often.
        threshold = np.quantile(np.abs(values - entropy), 1 - false_alarms, method="higher")
        return cls(float(entropy), float(threshold))

    def distance(self, nats_per_dim: Any) -> np.ndarray:
        """Return `|nats_per_dim - entropy|` of each example, `[N]`; infinity for NaN."""
        distance = np.abs(np.asarray(nats_per_dim, np.float64) - self.entropy)
        return np.where(np.isnan(distance), np.inf, distance)

    def is_foreign(self, nats_per_dim: Any) -> np.ndarray:
        """Return whether each example is foreign, `[N]`."""
        return self.distance(nats_per_dim) > self.threshold


def auroc(foreign: Any, held_out: Any) -> float:
    """Return the probability that a foreign example has a higher score than a held-out one.

        P(s_foreign > s_held_out) + P(s_foreign = s_held_out) / 2

    This is the area under the receiver operating characteristic: 1 is perfect, 1/2 is chance, and
    below 1/2 the score points the wrong way.

    Args:
        foreign: scores of foreign examples, `[N]`, higher being more foreign: nats/dim, or
            `Typicality.distance`. NaN counts as most foreign.
        held_out: scores of held-out examples, `[M]`.
    """
    n, m = len(foreign), len(held_out)
    scores = np.concatenate([foreign, held_out])
    ranks = rankdata(np.where(np.isnan(scores), np.inf, scores))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))
