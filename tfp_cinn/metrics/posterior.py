"""Whether posterior samples are calibrated, and how much they tell.

Of n pairs (x, c), `truth` is x, `[n, d]`, and `samples` are draws from p(x | c), `[draws, n, d]`.
Averages over pairs say nothing about a single c.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from tfp_cinn.metrics.figure import Figure, metric

__all__ = [
    "Uniformity",
    "contraction",
    "interval_coverage",
    "judge_posteriors",
    "ranks",
    "recovery_nrmse",
    "recovery_r2",
    "resimulation_error",
    "tarp_ranks",
    "uniformity",
    "z_rms",
    "z_score",
]

LEVELS = (0.5, 0.8, 0.95)
_POINTS = 100  # at which an ECDF is compared
_NULL = 10_000  # sets of uniform ranks, which the bands and p-values are from


def ranks(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return how many draws lie below the truth, `[n, d]`.

    Draws from the true posterior make them uniform on 0, ..., draws.

    Source: S. Talts et al., arXiv 1804.06788 (simulation-based calibration).
    """
    return (samples < truth).sum(axis=0)


def tarp_ranks(samples: np.ndarray, truth: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return how many draws lie nearer than the truth to another pair's x, `[n]`.

        #{s: |(x_s - r) / std| < |(x - r) / std|}

    where r is the truth of a random other pair and std the standard deviation of the truth. Draws
    from the true posterior make them uniform on 0, ..., draws.

    Source: P. Lemos et al., arXiv 2302.03026 (tests of accuracy with random points).
    """
    scale = truth.std(axis=0)
    turned = np.random.default_rng(seed).permutation(len(truth))
    points = np.empty_like(truth)
    points[turned] = truth[np.roll(turned, 1)]
    nearer = (((samples - points) / scale) ** 2).sum(-1) < (((truth - points) / scale) ** 2).sum(-1)
    return nearer.sum(axis=0)


class Uniformity(NamedTuple):
    """How far ranks are from uniform.

    Attributes:
        at: shares u of the ranks' range, `[K]`.
        difference: share of ranks below u, minus u, `[K, d]`.
        low: the band that uniform ranks stay inside, `[K]`.
        high: its upper side.
        p_value: probability that one entry's uniform ranks differ as much, `[d]`.
    """

    at: np.ndarray
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_value: np.ndarray


def uniformity(ranks: np.ndarray, draws: int, level: float = 0.95) -> Uniformity:
    """Compare the distribution of ranks with the uniform one.

    The band is simultaneous: uniform ranks leave it anywhere, in any entry, with probability
    1 - level at most.

    Args:
        ranks: `[n, d]`, in 0, ..., draws.
        draws: number of draws that the ranks are among.
        level: of the band.

    Source: T. Säilynoja, P.-C. Bürkner and A. Vehtari, arXiv 2103.10522.
    """
    count, entries = ranks.shape
    steps = np.unique(np.round(np.linspace(0, draws + 1, _POINTS + 1)))[1:-1]
    at = steps / (draws + 1)  # exact probabilities of rank < steps
    below = (ranks[np.newaxis] < steps[:, np.newaxis, np.newaxis]).sum(axis=1)
    # gamma: the smallest two-sided tail probability of the counts, a test statistic.
    possible = np.arange(count + 1)
    lower = stats.binom.cdf(possible, count, at[:, np.newaxis])
    upper = stats.binom.sf(possible - 1, count, at[:, np.newaxis])
    tail = 2 * np.minimum(lower, upper)

    def gamma(counts):
        return np.take_along_axis(tail, counts, axis=1).min(axis=0)

    cells = np.diff(at, prepend=0, append=1)
    uniform = np.random.default_rng(0).multinomial(count, cells, _NULL)
    null = gamma(np.cumsum(uniform, axis=1)[:, :-1].T)
    edge = np.quantile(null, (1 - level) / entries)
    p_value = (1 + (null[:, np.newaxis] <= gamma(below)).sum(axis=0)) / (1 + _NULL)
    low, high = (stats.binom.ppf(q, count, at) / count - at for q in (edge / 2, 1 - edge / 2))
    return Uniformity(at, below / count - at[:, np.newaxis], low, high, p_value)


def interval_coverage(ranks: np.ndarray, draws: int, level: float, of: str = "") -> Figure:
    """Return the share of truths inside the central interval of a level, by their ranks `[n]`."""
    inside = np.abs(ranks - draws / 2) <= level * (draws + 1) / 2
    # A success and a failure more, so that the error of 0 or 1 isn't 0.
    share = (inside.sum() + 1) / (len(inside) + 2)
    figure = Figure(float(inside.mean()), math.sqrt(share * (1 - share) / len(inside)))
    meaning = f"truths inside central {level:.0%} intervals; {level:g} is calibrated"
    return figure.named(f"coverage_{level * 100:.0f}", "share", meaning, of)


@metric("1", "R^2 of posterior means as estimates of the truth; 1 is exact")
def recovery_r2(samples: np.ndarray, truth: np.ndarray) -> Figure:
    """Return 1 - sum (truth - posterior mean)^2 / sum (truth - mean truth)^2.

    Args:
        samples: of one entry, `[draws, n]`.
        truth: `[n]`.
    """
    pairs = np.stack([truth, samples.mean(axis=0)], axis=1)
    return Figure.bootstrap(pairs, statistic=lambda p: 1 - _unexplained(p))


@metric("std of truths", "RMS error of posterior medians as estimates of the truth")
def recovery_nrmse(samples: np.ndarray, truth: np.ndarray) -> Figure:
    """Return sqrt(sum (truth - posterior median)^2 / sum (truth - mean truth)^2).

    Args:
        samples: of one entry, `[draws, n]`.
        truth: `[n]`.
    """
    pairs = np.stack([truth, np.median(samples, axis=0)], axis=1)
    return Figure.bootstrap(pairs, statistic=lambda p: math.sqrt(_unexplained(p)))


def _unexplained(pairs: np.ndarray) -> float:
    variance = pairs[:, 0].var()
    return ((pairs[:, 0] - pairs[:, 1]) ** 2).mean() / variance if variance else math.nan


@metric("1", "1 - variance of the posterior / that of the truths; 0: the condition tells nothing")
def contraction(samples: np.ndarray, truth: np.ndarray) -> Figure:
    """Return 1 - E Var(x | c) / Var(x).

    Args:
        samples: of one entry, `[draws, n]`.
        truth: `[n]`.

    Source: M. Betancourt, arXiv 1803.08393; D. Schad et al., arXiv 1904.12765.
    """
    pairs = np.stack([truth, samples.var(axis=0)], axis=1)
    return Figure.bootstrap(pairs, statistic=lambda p: 1 - p[:, 1].mean() / p[:, 0].var())


@metric("1", "mean of (posterior mean - truth) / posterior std; 0 is unbiased")
def z_score(samples: np.ndarray, truth: np.ndarray) -> Figure:
    """Return the mean of z = (posterior mean - truth) / posterior std; 0 for the true posterior.

    Args:
        samples: of one entry, `[draws, n]`.
        truth: `[n]`.
    """
    return Figure.average(_z(samples, truth))


@metric("1", "root mean square of the same; above 1, posteriors are too narrow")
def z_rms(samples: np.ndarray, truth: np.ndarray) -> Figure:
    """Return the root mean square of `z_score`'s z; 1 for the true posterior, of any shape.

    Args:
        samples: of one entry, `[draws, n]`.
        truth: `[n]`.
    """
    return Figure.average(_z(samples, truth) ** 2).root()


def _z(samples, truth):
    return (samples.mean(axis=0) - truth) / samples.std(axis=0)


@metric("std of conditions", "RMS distance of what samples give again from the conditions")
def resimulation_error(again: np.ndarray, observed: np.ndarray) -> Figure:
    """Return sqrt(mean of ((again - observed) / std)^2), std that of each entry of `observed`.

    Args:
        again: what a simulator makes of a sample for each condition, `[n, k]`.
        observed: the conditions, `[n, k]`; entries that don't vary are left out.
    """
    scale = observed.std(axis=0)
    varies = scale > 0
    scaled = (again - observed)[:, varies] / scale[varies]
    return Figure.average((scaled**2).mean(axis=1)).root()


def judge_posteriors(
    samples: np.ndarray, truth: np.ndarray, names: Sequence[str]
) -> tuple[list[Figure], Uniformity]:
    """Return all figures of posterior samples, `of` each entry of x, and of TARP.

    Args:
        samples: `[draws, n, d]`.
        truth: `[n, d]`, two at least.
        names: of the entries, `[d]`.

    Returns:
        The figures, and the uniformity of the entries' ranks and, last, of those of TARP.
    """
    draws = len(samples)
    found = ranks(samples, truth)
    figures = [
        interval_coverage(found[:, i], draws, level, of=name)
        for level in LEVELS
        for i, name in enumerate(names)
    ]
    for function in (z_score, z_rms, contraction, recovery_r2, recovery_nrmse):
        figures += [function(samples[..., i], truth[:, i], of=n) for i, n in enumerate(names)]
    every = np.column_stack([found, tarp_ranks(samples, truth)])
    uniform = uniformity(every, draws)
    for i, name in enumerate([*names, "TARP"]):
        p = float(uniform.p_value[i])
        figure = Figure(p, math.sqrt(p * (1 - p) / _NULL))
        meaning = (
            "probability of ranks as uneven from true posteriors; TARP: of all entries at once"
        )
        figures.append(figure.named("rank_p_value", "1", meaning, name))
    return figures, uniform
