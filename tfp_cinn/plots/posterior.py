"""Pictures of samples of one condition: a corner plot of vectors, bands of series, maps."""

from __future__ import annotations

import os
from collections.abc import Sequence

import corner
import numpy as np
from matplotlib.figure import Figure

__all__ = ["draw_bands", "draw_corner", "draw_maps"]

_MAX_COLUMNS = 10
_LEVELS = (0.05, 0.25, 0.75, 0.95)


def draw_corner(
    samples: np.ndarray,
    path: str | os.PathLike,
    names: Sequence[str] = (),
    truth: np.ndarray | None = None,
    title: str = "",
) -> None:
    """Draw histograms of each entry of a vector and of each pair of them, up to 10 entries.

    Args:
        samples: `[S, D]`.
        path: the PNG to write.
        names: what each entry is called.
        truth: `[D]`, marked by lines.
        title: what stands above.
    """
    samples = samples[:, :_MAX_COLUMNS]
    columns = samples.shape[1]
    names = list(names) or [f"x[{i}]" for i in range(columns)]
    truth = None if truth is None else truth[:columns]
    limits = []
    for i, values in enumerate(samples.T):
        # The bulk, which a stray sample would squeeze, and the truth; some width in any case.
        shown = np.quantile(values, (0.002, 0.998))
        shown = shown if truth is None else np.append(shown, truth[i])
        margin = 0.05 * np.ptp(shown) or 0.5
        limits.append((shown.min() - margin, shown.max() + margin))
    figure = Figure(figsize=(2 * columns + 1, 2 * columns + 1))
    corner.corner(
        samples,
        fig=figure,
        labels=[name.replace("$", r"\$") for name in names[:columns]],
        range=limits,
        truths=truth if columns > 1 else None,
        plot_contours=len(samples) >= 100,
        plot_density=len(samples) >= 100,
        quiet=True,
    )
    if columns == 1 and truth is not None:  # corner 2.3 can't mark a single one
        figure.axes[0].axvline(truth[0], color="#4682b4")
    figure.suptitle(title, fontsize=10, parse_math=False)
    figure.savefig(path, dpi=100)


def draw_bands(
    samples: np.ndarray,
    path: str | os.PathLike,
    names: Sequence[str] = (),
    truth: np.ndarray | None = None,
    title: str = "",
) -> None:
    """Draw the median of series with central intervals of 50 and 90 %, and three samples.

    Args:
        samples: `[S, T, C]`.
        path: the PNG to write.
        names: what each channel is called.
        truth: `[T, C]`, drawn dashed.
        title: what stands above.
    """
    channels = min(samples.shape[-1], _MAX_COLUMNS)
    figure = Figure(figsize=(7, 2 * channels + 0.5), layout="constrained")
    low, lower, upper, high = np.quantile(samples, _LEVELS, axis=0)
    steps = np.arange(samples.shape[1])
    for i, axes in enumerate(figure.subplots(channels, 1, sharex=True, squeeze=False)[:, 0]):
        axes.fill_between(steps, low[:, i], high[:, i], color="C0", alpha=0.2, label="90 %")
        axes.fill_between(steps, lower[:, i], upper[:, i], color="C0", alpha=0.4, label="50 %")
        axes.plot(steps, np.median(samples[..., i], axis=0), "C0", label="median")
        axes.plot(steps, samples[:3, :, i].T, "0.4", linewidth=0.5)
        if truth is not None:
            axes.plot(steps, truth[:, i], "k--", label="truth")
        axes.set_ylabel(names[i] if len(names) > i else f"x[..., {i}]", parse_math=False)
    axes.legend(fontsize=7, loc="upper right")
    figure.suptitle(title, fontsize=10, parse_math=False)
    figure.savefig(path, dpi=100)


def draw_maps(
    samples: np.ndarray,
    path: str | os.PathLike,
    names: Sequence[str] = (),
    truth: np.ndarray | None = None,
    title: str = "",
) -> None:
    """Draw maps side by side on one scale: a truth, the mean, the deviation, some samples.

    Args:
        samples: `[S, H, W, C]`.
        path: the PNG to write.
        names: what each channel is called; a row each.
        truth: `[H, W, C]`.
        title: what stands above.
    """
    shown = {} if truth is None else {"truth": truth}
    shown["mean"] = samples.mean(0)
    shown |= {f"sample {k}": sample for k, sample in enumerate(samples[:6])}
    shown["std"] = samples.std(0)
    channels = min(samples.shape[-1], _MAX_COLUMNS)
    figure = Figure(figsize=(1.5 * len(shown), 1.6 * channels + 0.5), layout="constrained")
    grid = figure.subplots(channels, len(shown), squeeze=False)
    for i in range(channels):
        low, high = np.quantile(samples[..., i], (0.005, 0.995))
        for axes, (name, image) in zip(grid[i], shown.items(), strict=True):
            limits = {} if name == "std" else {"vmin": low, "vmax": high}
            axes.imshow(image[..., i], interpolation="nearest", **limits)
            axes.set(xticks=[], yticks=[])
            if i == 0:
                axes.set_title(name, fontsize=8)
        if len(names) > i:
            grid[i][0].set_ylabel(names[i], parse_math=False)
    figure.suptitle(title, fontsize=10, parse_math=False)
    figure.savefig(path, dpi=100)
