"""Which samples are wanted, and the picture or array file that they are written to.

Shared by those who draw from a model at hand and those who ask a server.
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence

import numpy as np

from tfp_cinn.errors import UsageError
from tfp_cinn.plots.pictures import draw_samples
from tfp_cinn.workdir import Workdir

__all__ = ["check_drawing", "check_output", "to_labels", "write_samples"]

_MAX_SIDE = 500  # images; a longer picture is beyond what can be drawn or looked at
_MAX_IMAGES = 10_000


def check_drawing(num_samples: int, temperature: float, seed: int) -> None:
    """Checks how samples are to be drawn.

    Raises:
        UsageError: if num_samples is below 1, temperature negative or not finite, or seed negative
            or beyond 64 bits.
    """
    if num_samples < 1:
        raise UsageError(f"num_samples: expected 1 or more, got {num_samples}")
    if not 0 <= temperature < math.inf:
        raise UsageError(f"temperature: expected 0 or more, and finite, got {temperature:g}")
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed: expected an integer from 0 to 2^63 - 1, got {seed}")


def check_output(output: pathlib.Path, rows: int, columns: int) -> None:
    """Checks that samples can be written to a file.

    Args:
        output: the file.
        rows: number of conditions.
        columns: number of samples of each.

    Raises:
        UsageError: if it is no `.png` or `.npz` in a folder that exists, or too large a picture.
    """
    if output.suffix not in (".png", ".npz"):
        raise UsageError(f"{output}: expected the name of a .png or a .npz file")
    if not output.parent.is_dir():
        raise UsageError(f"{output}: expected a file in a folder that exists")
    side = max(rows, columns) if rows > 1 else 1
    if output.suffix == ".png" and (side > _MAX_SIDE or rows * columns > _MAX_IMAGES):
        raise UsageError(
            f"{output}: {rows} x {columns} samples are too many for a picture, expected up to "
            f"{_MAX_IMAGES}, {_MAX_SIDE} in a row; use a .npz file"
        )


def to_labels(
    cond: Sequence[str | int] | str | int | None, class_names: Sequence[str]
) -> np.ndarray:
    """Returns the numbers, int32, of classes.

    Args:
        cond: classes by number or, in any case of letters, by name; all classes if None.
        class_names: the name of each class.

    Raises:
        UsageError: if there is no such class, or none is given.
    """
    if cond is None:
        return np.arange(len(class_names), dtype=np.int32)
    cond = [cond] if isinstance(cond, str | int) else cond
    if not len(cond):
        raise UsageError(f"cond: expected one class or more of {_choice(class_names)}, got none")
    return np.array([_label(each, class_names) for each in cond], np.int32)


def write_samples(
    x: np.ndarray,
    labels: np.ndarray,
    temperature: float,
    seed: int,
    output: pathlib.Path,
    class_names: Sequence[str],
    levels: int,
    dataset: str,
) -> None:
    """Writes samples into a picture or an array file, whole or not at all.

    A `.png` holds a row for each condition, or a near-square grid if there is only one. A `.npz`
    holds `x`, `cond`, `temperature` and `seed`.

    Args:
        x: samples of each class, `[conditions, num_samples, *event]`, images `[H, W, 1 or 3]` in
            levels if a picture is wanted.
        labels: the classes, `[conditions]`.
        temperature: that they were drawn with.
        seed: that they were drawn with.
        output: the `.png` or `.npz`.
        class_names: the name of each class.
        levels: number of gray levels.
        dataset: name of the data set.

    Raises:
        UsageError: if a sample isn't finite, is no image, or the file can't be written.
    """
    if output.suffix == ".png" and (x.ndim != 5 or x.shape[-1] not in (1, 3)):
        raise UsageError(
            f"{output}: expected images, [H, W, 1 or 3], for a picture, samples are "
            f"{list(x.shape[2:])}; use a .npz file"
        )
    finite = np.isfinite(x).all(axis=tuple(range(2, x.ndim)))
    if not finite.all():
        raise UsageError(
            f"{np.count_nonzero(~finite)} of {finite.size} samples hold NaN or infinite pixels; "
            "lower the temperature, or train further"
        )
    with Workdir(output.parent).writing(output.name) as scratch:
        if output.suffix == ".npz":
            np.savez(scratch, x=x, cond=labels, temperature=temperature, seed=seed)
        else:
            title = f"{dataset}, temperature {temperature:g}"
            _draw_png(x, levels, scratch, [class_names[label] for label in labels], title)


def _label(each: str | int, names: Sequence[str]) -> int:
    text = str(each).strip()
    # Names first, as classes may be called 1 to 26.
    found = [k for k, name in enumerate(names) if name.casefold() == text.casefold()]
    if found:
        return found[0]
    try:
        number = int(text)
    except ValueError:
        raise UsageError(f"cond: expected class labels {_choice(names)}, got {text!r}") from None
    if not 0 <= number < len(names):
        raise UsageError(f"cond: label {number} is out of range: expected 0 to {len(names) - 1}")
    return number


def _choice(names: Sequence[str]) -> str:
    choice = f"0 to {len(names) - 1}"
    if list(names) != [str(k) for k in range(len(names))]:
        choice += f" or {', '.join(names)}"
    return choice


def _draw_png(
    x: np.ndarray, levels: int, path: pathlib.Path, names: Sequence[str], title: str
) -> None:
    if len(x) > 1:
        draw_samples(x, levels, path, names, title)
        return
    count, image_shape = x.shape[1], x.shape[2:]
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    # Cells left over take the gray of the borders.
    grid = np.full((rows * columns, *image_shape), levels / 2, np.float32)
    grid[:count] = x[0]
    grid = grid.reshape(rows, columns, *image_shape)
    draw_samples(grid, levels, path, [""] * rows, f"{names[0]}, {title}")
