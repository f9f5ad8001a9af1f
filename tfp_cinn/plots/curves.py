"""Pictures of hues and of training."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure

__all__ = ["draw_curve", "draw_hues"]


def draw_hues(
    data: np.ndarray,
    samples: np.ndarray,
    labels: np.ndarray,
    defined: np.ndarray,
    class_names: Sequence[str],
    path: str | os.PathLike,
) -> None:
    """Draw histograms of hues, a row for each class, foreground beside background.

    Args:
        data: hues of the data, `[N, ..., 2]`, degrees in [0, 360).
        samples: hues of samples, likewise.
        labels: class of each image, `[N]`.
        defined: mean and standard deviation of the normal distributions that the data's hues were
            drawn from, `[classes, 2, 2]`, degrees.
        class_names: the name of each class.
        path: the PNG to write.
    """
    figure = Figure(figsize=(9, 0.9 * len(class_names) + 1), layout="constrained")
    grid = figure.subplots(len(class_names), 2, sharex=True, squeeze=False)
    edges = np.arange(0, 361, 5)
    angles = np.arange(0, 361)
    # A band of the hues' colors under each histogram.
    strip = hsv_to_rgb(np.stack([angles / 360, *np.full((2, 361), 0.8)], axis=-1))[np.newaxis]
    for label, row in enumerate(grid):
        for part, axes in enumerate(row):
            mean, std = defined[label, part]
            turns = (angles + 360 * np.arange(-3, 4)[:, np.newaxis] - mean) / std
            normal = np.exp(-(turns**2) / 2).sum(axis=0) / (std * math.sqrt(2 * math.pi))
            for hues, style in (
                (data, {"label": "data", "color": "0.75", "histtype": "stepfilled"}),
                (samples, {"label": "samples", "color": "k", "histtype": "step"}),
            ):
                axes.hist(hues[labels == label][..., part].ravel(), edges, density=True, **style)
            axes.plot(angles, normal, "r:", linewidth=1, label="as defined")
            top = axes.get_ylim()[1]
            axes.imshow(strip, extent=(0, 360, -0.15 * top, 0), aspect="auto")
            axes.set(xlim=(0, 360), ylim=(-0.15 * top, top), yticks=[])
            axes.set_xticks(np.arange(0, 361, 60))
        row[0].set_ylabel(class_names[label], rotation=0, ha="right", va="center")
    for axes, title in zip(grid[0], ("foreground", "background"), strict=True):
        axes.set_title(title, fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel("hue, degrees")
    grid[0, 1].legend(fontsize=7)
    figure.savefig(path, dpi=150)


def draw_curve(rows: Sequence[Mapping[str, float]], path: str | os.PathLike) -> None:
    """Draw bits/dim of training and validation over the epochs.

    Args:
        rows: one per epoch, with `epoch`, `bits_per_dim` and maybe `val_bits_per_dim`; NaN and
            infinity are left out.
        path: the PNG to write.
    """
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    # The steep first epochs would flatten the rest of the curve.
    later = []
    for key, label in (("bits_per_dim", "training (noisy)"), ("val_bits_per_dim", "validation")):
        finite = [(k, row) for k, row in enumerate(rows) if math.isfinite(row.get(key, math.nan))]
        if finite:
            axes.plot(
                *zip(*[(row["epoch"], row[key]) for _, row in finite], strict=True), label=label
            )
        later += [row[key] for k, row in finite if k >= len(rows) // 10]
    axes.set_xlabel("epoch")
    axes.set_ylabel("-log p(x | c), bits/dim")
    if later:
        margin = 0.05 * (max(later) - min(later)) or 0.1
        axes.set_ylim(min(later) - margin, max(later) + margin)
    if axes.lines:
        axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)
