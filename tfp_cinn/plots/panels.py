"""Labeled panels of images, and scores of several sets."""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from tfp_cinn.errors import UsageError

__all__ = ["Panel", "ScoredSet", "check_picture", "draw_panels", "draw_scores"]

_DPI = 150
_GAP = 0.06  # between images, relative to their height
_CAPTION = 0.32  # space for a caption below an image, likewise
_LETTER = 0.06  # width of a letter in a label, inches
_LONGEST = 30  # letters in a label
_MAX_SIDE = 500  # images; a longer picture is beyond what can be drawn or looked at
_MAX_IMAGES = 10_000


class Panel(NamedTuple):
    """A grid of images with title, labels and captions.

    Attributes:
        images: `[rows, columns, H, W, 1 or 3]`, gray or sRGB in [0, 1]; NaN is drawn white.
        title: text above.
        column_labels: text above each column.
        captions: rows of texts below the images; none if empty.
    """

    images: np.ndarray
    title: str = ""
    column_labels: Sequence[str] = ()
    captions: Sequence[Sequence[str]] = ()


class ScoredSet(NamedTuple):
    """A set of examples and their scores.

    Attributes:
        name: name of the set.
        images: a few examples, `[K, H, W, 1 or 3]` in [0, 1].
        scores: scores of all examples, `[N]`.
        held_out: scores of the set to compare with, `[M]`.
        interval: the scores that count as typical.
        remark: text beside.
    """

    name: str
    images: np.ndarray
    scores: np.ndarray
    held_out: np.ndarray
    interval: tuple[float, float]
    remark: str


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


def draw_panels(
    panels: Sequence[Panel],
    path: str | os.PathLike,
    row_labels: Sequence[str] = (),
    title: str = "",
) -> None:
    """Draw panels side by side.

    Args:
        panels: panels with equally many rows, and images of one size.
        path: the PNG to write.
        row_labels: text before each row of the first panel.
        title: text above all.
    """
    rows, columns, height, width = panels[0].images.shape[:4]
    # Inches of an image, as long as the picture can be drawn.
    inches = 0.9 if min(height, width) >= 48 else 0.52
    inches = min(inches, 250 / max(rows, columns), 50 / math.sqrt(rows * columns))
    cell = inches / min(height, width)
    joined = [_joined(panel) for panel in panels]
    widths = [image.shape[1] for image in joined]
    size = cell * sum(widths) + 0.5 * len(panels) + 0.5, cell * joined[0].shape[0] + 1.0
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
    for axes, panel in zip(grid, panels, strict=True):
        _draw_panel(axes, panel, row_labels if axes is grid[0] else (), cell * width)
    figure.suptitle(title, fontsize=9, parse_math=False)
    figure.savefig(path, dpi=_DPI, bbox_inches="tight", pad_inches=0.06)


def _draw_panel(axes, panel, row_labels, inches):
    rows, columns, height, width = panel.images.shape[:4]
    gap, below = _gaps(panel)
    axes.imshow(_joined(panel), interpolation="nearest")
    across = (np.arange(columns) + 0.5) * (width + gap) - gap / 2 - 0.5
    down = np.arange(rows) * (height + below)
    labels = [_short(label) for label in panel.column_labels]
    slant = {"rotation": 35, "ha": "left", "rotation_mode": "anchor"}
    is_wide = max(map(len, labels), default=0) * _LETTER > inches
    axes.set_xticks(across[: len(labels)], labels, parse_math=False, **(slant if is_wide else {}))
    axes.set_yticks(
        (down + height / 2 - 0.5)[: len(row_labels)],
        [_short(label) for label in row_labels],
        parse_math=False,
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=7)
    axes.spines[:].set_visible(False)
    axes.set_title(panel.title, fontsize=8, parse_math=False)
    style = {"fontsize": 5, "ha": "center", "va": "top", "parse_math": False}
    for y, captions in zip(down + height + 0.2 * gap, panel.captions, strict=False):
        for x, caption in zip(across, captions, strict=True):
            axes.text(x, y, caption, **style)


def _short(label):
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"


def _gaps(panel):
    """Return the pixels between columns, and between rows."""
    height = panel.images.shape[2]
    gap = max(1, round(_GAP * height))
    return gap, gap + round(_CAPTION * height) if panel.captions else gap


def _joined(panel):
    """Return a panel's images as one image, with white gaps."""
    rows, columns, height, width = panel.images.shape[:4]
    gap, below = _gaps(panel)
    canvas = np.ones((rows, height + below, columns, width + gap, 3))
    shown = np.clip(np.nan_to_num(panel.images, nan=1.0), 0, 1)
    canvas[:, :height, :, :width] = shown.transpose(0, 2, 1, 3, 4)
    return canvas.reshape(rows * (height + below), columns * (width + gap), 3)[:, :-gap]


def draw_scores(
    sets: Sequence[ScoredSet], path: str | os.PathLike, title: str, axis_label: str
) -> None:
    """Draw sets below each other: a few examples, histograms of scores, and remarks.

    Args:
        sets: the sets; scores far outside those of the held-out sets are drawn at the borders.
        path: the PNG to write.
        title: text above.
        axis_label: name of the scores.
    """
    figure = Figure(figsize=(9, 0.75 * len(sets) + 1.1), layout="constrained")
    grid = figure.subplots(len(sets), 2, squeeze=False, width_ratios=(1.1, 2.2))
    known = np.concatenate([each.held_out for each in sets])
    low, high = np.quantile(known, (0.005, 0.995))
    low, high = low - (high - low), high + 2 * (high - low)
    edges = np.linspace(low, high, 91)
    for row, each in enumerate(sets):
        pictures, axes = grid[row]
        _draw_panel(pictures, Panel(each.images[np.newaxis]), [each.name], math.inf)
        for scores, style in (
            (each.held_out, {"color": "0.7", "histtype": "stepfilled", "label": "held out"}),
            (each.scores, {"color": "tab:red", "histtype": "step", "label": "this set"}),
        ):
            inside = np.clip(np.nan_to_num(scores, nan=high), low, high)
            share = np.full(len(inside), 1 / len(inside))
            axes.hist(inside, edges, weights=share, **style)
        axes.axvspan(*each.interval, color="tab:green", alpha=0.15, label="typical")
        axes.set(xlim=(low, high), yticks=[])
        axes.spines[["left", "right", "top"]].set_visible(False)
        axes.tick_params(labelsize=7, labelbottom=row == len(sets) - 1)
        axes.text(
            *(1.01, 0.5, each.remark),
            transform=axes.transAxes,
            fontsize=6.5,
            family="monospace",
            va="center",
        )
    grid[0, 1].legend(fontsize=6, loc="upper left", frameon=False)
    grid[-1, 1].set_xlabel(axis_label, fontsize=8)
    figure.suptitle(title, fontsize=9, parse_math=False)
    figure.savefig(path, dpi=_DPI, bbox_inches="tight", pad_inches=0.06)
