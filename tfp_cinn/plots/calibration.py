"""Pictures of whether posteriors can be trusted: ranks, coverage, recovery."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from tfp_cinn.metrics.posterior import Uniformity, interval_coverage

__all__ = ["draw_calibration", "draw_coverage", "draw_recovery"]

_LEVELS = np.linspace(0.02, 0.98, 49)


def draw_calibration(
    uniform: Uniformity, names: Sequence[str], path: str | os.PathLike, title: str = ""
) -> None:
    """Draw how the distribution of each entry's ranks differs from the uniform one, and the band.

    Args:
        uniform: of the ranks.
        names: of the entries.
        path: the PNG to write.
        title: what stands above.
    """
    figure, grid = _grid(len(names), title)
    at = np.concatenate([[0], uniform.at, [1]])
    # All panels on one scale, as a glance compares their heights.
    height = 1.1 * max(np.abs(uniform.difference).max(), uniform.high.max())
    for axes, name, difference in zip(grid, names, uniform.difference.T, strict=False):
        low, high = np.pad(uniform.low, 1), np.pad(uniform.high, 1)
        axes.fill_between(at, low, high, color="0.85")
        axes.axhline(0, color="0.5", linewidth=0.8)
        axes.plot(at, np.pad(difference, 1), "C0")
        axes.set(xlim=(0, 1), ylim=(-height, height))
        axes.set_title(name, fontsize=9, parse_math=False)
    figure.supxlabel("rank of the truth among the draws, as a share", fontsize=9)
    figure.supylabel("ECDF - uniform", fontsize=9)
    figure.savefig(path, dpi=100)


def draw_coverage(
    ranks: np.ndarray, draws: int, names: Sequence[str], path: str | os.PathLike, title: str = ""
) -> None:
    """Draw the share of truths in central intervals of each level, minus the level.

    The band is two binomial standard errors of a calibrated entry, at each level alone.

    Args:
        ranks: of the truths, `[n, d]`.
        draws: number of draws that they are among.
        names: of the entries.
        path: the PNG to write.
        title: what stands above.
    """
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = figure.subplots()
    error = 2 * np.sqrt(_LEVELS * (1 - _LEVELS) / len(ranks))
    axes.fill_between(_LEVELS, -error, error, color="0.85")
    axes.axhline(0, color="0.5", linewidth=0.8)
    for i, name in enumerate(names):
        found = [interval_coverage(ranks[:, i], draws, level).mean for level in _LEVELS]
        color = f"C{i % 10}"
        axes.plot(_LEVELS, found - _LEVELS, color, ls=("-", "--")[i // 10 % 2], label=name)
    legend = axes.legend(fontsize=7, ncols=math.ceil(len(names) / 5))
    for text in legend.get_texts():
        text.set_parse_math(False)
    axes.set(xlabel="level of the central interval", ylabel="share of truths inside - level")
    axes.set_title(title, fontsize=10, parse_math=False)
    figure.savefig(path, dpi=100)


def draw_recovery(
    samples: np.ndarray,
    truth: np.ndarray,
    names: Sequence[str],
    path: str | os.PathLike,
    title: str = "",
) -> None:
    """Draw each posterior's median and central interval of 50 % against the truth, entry by entry.

    Args:
        samples: `[draws, n, d]`, of a few hundred pairs at most.
        truth: `[n, d]`.
        names: of the entries.
        path: the PNG to write.
        title: what stands above.
    """
    figure, grid = _grid(len(names), title)
    low, middle, high = np.quantile(samples, (0.25, 0.5, 0.75), axis=0)
    for i, (axes, name) in enumerate(zip(grid, names, strict=False)):
        x = truth[:, i]
        error = [middle[:, i] - low[:, i], high[:, i] - middle[:, i]]
        axes.errorbar(x, middle[:, i], error, fmt=".", markersize=3, linewidth=0.5, alpha=0.7)
        axes.axline((x.mean(), x.mean()), slope=1, color="0.5", linewidth=0.8)
        axes.set_title(name, fontsize=9, parse_math=False)
    figure.supxlabel("truth", fontsize=9)
    figure.supylabel("posterior median and central 50 %", fontsize=9)
    figure.savefig(path, dpi=100)


def _grid(count: int, title: str):
    """Return a figure with that many axes, row by row."""
    columns = min(count, 5)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(2.4 * columns + 0.6, 2.4 * rows + 0.6), layout="constrained")
    figure.suptitle(title, fontsize=10, parse_math=False)
    grid = figure.subplots(rows, columns, sharex=False, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.remove()
    for axes in grid[:count]:
        axes.tick_params(labelsize=7)
    return figure, grid[:count]
