"""Pictures of samples and of training."""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure

from tfp_cinn.errors import UsageError

__all__ = ["check_picture", "draw_curve", "draw_hues", "draw_samples", "draw_sheet"]

_DPI = 150
_MAX_SIDE = 500  # images; a longer picture is beyond what can be drawn or looked at
_MAX_IMAGES = 10_000


def check_picture(path: pathlib.Path, rows: int, columns: int) -> None:
    """Check that a grid of images can be drawn into a file.

    Raises:
        UsageError: if it would be too large.
    """
    side = max(rows, columns) if rows > 1 else 1
    if side > _MAX_SIDE or rows * columns > _MAX_IMAGES:
        raise UsageError(
            f"{path}: {rows} x {columns} samples are too many for a picture, expected up to "
            f"{_MAX_IMAGES}, {_MAX_SIDE} in a row; use a .npz file"
        )


def draw_samples(
    images: np.ndarray,
    levels: int,
    path: str | os.PathLike,
    row_labels: Sequence[object],
    title: str = "",
) -> None:
    """Draw images as a grid, a row for each condition.

    Args:
        images: `[rows, columns, H, W, 1 or 3]`, gray or RGB, in levels of the data domain
            [0, levels).
        levels: number of levels; values outside are clipped.
        path: the PNG to write.
        row_labels: text before each row.
        title: text above.
    """
    rows, columns, height, width, channels = images.shape
    # A border of one pixel, so that neighbors can be told apart.
    canvas = np.full((rows, height + 1, columns, width + 1, channels), 0.5, np.float32)
    shown = np.clip(np.floor(images), 0, levels - 1) / (levels - 1)
    canvas[:, :height, :, :width] = shown.transpose(0, 2, 1, 3, 4)
    canvas = canvas.reshape(rows * (height + 1), columns * (width + 1), channels)[:-1, :-1]
    margin = 0.1 * max(len(str(label)) for label in row_labels)
    # Inches of a cell: a dot or more for a pixel, as long as the picture can be drawn.
    dots = min(width, 40_000 / max(rows, columns), 8_000 / math.sqrt(rows * columns))
    cell = max(0.45, dots / _DPI)
    figure = Figure(
        figsize=(cell * columns + 0.2 + margin, cell * height / width * rows + 0.4),
        layout="constrained",
    )
    axes = figure.add_subplot()
    if channels == 1:
        canvas = canvas[..., 0]
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks(
        (np.arange(rows) + 0.5) * (height + 1) - 1,
        [str(label) for label in row_labels],
        parse_math=False,  # a dollar sign is just that
    )
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if title:
        axes.set_title(title, fontsize=10, parse_math=False)
    figure.savefig(path, dpi=_DPI)


def draw_sheet(images: np.ndarray, path: str | os.PathLike, column_labels: Sequence[str]) -> None:
    """Draw color images as a grid, a row for each photograph.

    Args:
        images: `[rows, columns, H, W, 3]`, sRGB in [0, 1].
        path: the PNG to write.
        column_labels: text above each column.
    """
    rows, columns, height, width = images.shape[:4]
    gap = max(2, height // 32)
    canvas = np.ones((rows, height + gap, columns, width + gap, 3))
    canvas[:, :height, :, :width] = np.clip(images, 0, 1).transpose(0, 2, 1, 3, 4)
    canvas = canvas.reshape(rows * (height + gap), columns * (width + gap), 3)[:-gap, :-gap]
    figure = Figure(
        figsize=(0.9 * columns, 0.9 * rows * height / width + 0.2), layout="constrained"
    )
    axes = figure.add_subplot()
    axes.imshow(canvas)
    axes.set_xticks((np.arange(columns) + 0.5) * (width + gap) - gap / 2, column_labels)
    axes.xaxis.tick_top()
    axes.set_yticks([])
    axes.tick_params(length=0, labelsize=7)
    axes.spines[:].set_visible(False)
    figure.savefig(path, dpi=150)


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
