"""Samples of a class-conditional flow, and what `bin/sample.py` does with them."""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tqdm

from tfp_cinn.errors import UsageError
from tfp_cinn.evaluation.facts import class_names, field
from tfp_cinn.evaluation.pictures import draw_samples
from tfp_cinn.model import CINN
from tfp_cinn.workdir import Workdir

__all__ = ["check_drawing", "draw", "sample"]

_CHUNK = 250
_MAX_SIDE = 500  # images; a longer picture is beyond what can be drawn or looked at
_MAX_IMAGES = 10_000


def sample(
    workdir: str | os.PathLike,
    cond: Sequence[str | int] | str | int | None = None,
    num_samples: int = 12,
    temperature: float = 1.0,
    seed: int = 0,
    output: str | os.PathLike | None = None,
) -> pathlib.Path:
    """Draws samples of a training run's model into a picture or an array file.

    A `.png` holds a row for each condition, or a near-square grid if there is only one. A `.npz`
    holds `x`, float32 `[conditions, num_samples, H, W, C]` in grey levels as the flow draws them
    (level v is [v, v + 1)), `cond`, int32 `[conditions]`, `temperature` and `seed`.

    Args:
        workdir: the training run.
        cond: classes by number or, in any case of letters, by name; all classes if None.
        num_samples: samples of each.
        temperature: factor on the latents.
        seed: the same seed draws the same samples of a class, whatever the other classes.
        output: the `.png` or `.npz` to write; `samples.png` in the workdir if None.

    Returns:
        The file's path, which is printed as well.

    Raises:
        UsageError: if workdir, class, number, temperature, seed or output don't serve.
    """
    workdir = Workdir(workdir)
    facts = workdir.dataset()
    levels = field(facts, "levels", int, workdir / "dataset.json")
    dataset = field(facts, "name", str, workdir / "dataset.json")
    names = class_names(facts, workdir / "dataset.json")
    labels = _labels(cond, names)
    check_drawing(num_samples, temperature, seed)
    output = pathlib.Path(output) if output else workdir / "samples.png"
    _check_output(output, len(labels), num_samples)
    x = draw(workdir.load_model(), labels, num_samples, temperature, seed)
    bad = np.count_nonzero(~np.isfinite(x).all(axis=(2, 3, 4)))
    if bad:
        raise UsageError(
            f"{bad} of {len(labels) * num_samples} samples hold NaN or infinite pixels; lower the "
            "temperature, or train further"
        )
    with Workdir(output.parent).writing(output.name) as scratch:
        if output.suffix == ".npz":
            np.savez(scratch, x=x, cond=labels, temperature=temperature, seed=seed)
        else:
            title = f"{dataset}, temperature {temperature:g}"
            _draw_png(x, levels, scratch, [names[label] for label in labels], title)
    print(output)
    return output


def draw(
    model: CINN, labels: Sequence[int], num_samples: int, temperature: float, seed: int
) -> np.ndarray:
    """Samples of each label, `[labels, num_samples, H, W, C]`, in grey levels.

    Those of a label depend on it, `num_samples`, `temperature` and `seed` alone.

    Args:
        model: a class-conditional model.
        labels: classes.
        num_samples: samples of each.
        temperature: factor on the latents.
        seed: an integer from 0.

    Raises:
        UsageError: if the model's condition is not a label, or a label is out of its range.
    """
    if model.cond_shape != ():
        raise UsageError(
            f"sampling: expected a model of class labels, its condition is {model.cond_shape}"
        )
    x = np.empty((len(labels), num_samples, *model.event_shape), np.float32)
    for row, label in enumerate(tqdm.tqdm(labels, "sample", leave=False, disable=None)):
        for start in range(0, num_samples, _CHUNK):
            key = np.random.SeedSequence([seed, int(label), start]).generate_state(2)
            x[row, start : start + _CHUNK] = model.distribution.sample(
                np.int32(label),
                sample_shape=min(_CHUNK, num_samples - start),
                seed=key.view(np.int32),
                temperature=temperature,
            )
    return x


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


def _labels(cond: Sequence[str | int] | str | int | None, names: Sequence[str]) -> np.ndarray:
    """Class numbers, int32, of numbers and names."""
    if cond is None:
        return np.arange(len(names), dtype=np.int32)
    cond = [cond] if isinstance(cond, str | int) else cond
    if not len(cond):
        raise UsageError(f"cond: expected one class or more of {_choice(names)}, got none")
    return np.array([_label(each, names) for each in cond], np.int32)


def _label(each: str | int, names: Sequence[str]) -> int:
    text = str(each).strip()
    try:
        number = int(text)
    except ValueError:
        found = [k for k, name in enumerate(names) if name.casefold() == text.casefold()]
        if not found:
            raise UsageError(
                f"cond: expected class labels {_choice(names)}, got {text!r}"
            ) from None
        return found[0]
    if not 0 <= number < len(names):
        raise UsageError(
            f"cond: label {number} is out of range: expected 0 to {len(names) - 1}"
        ) from None
    return number


def _choice(names: Sequence[str]) -> str:
    choice = f"0 to {len(names) - 1}"
    if list(names) != [str(k) for k in range(len(names))]:
        choice += f" or {', '.join(names)}"
    return choice


def _check_output(output: pathlib.Path, rows: int, columns: int) -> None:
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


def _draw_png(
    x: np.ndarray, levels: int, path: pathlib.Path, names: Sequence[str], title: str
) -> None:
    if len(x) > 1:
        draw_samples(x, levels, path, names, title)
        return
    count, image_shape = x.shape[1], x.shape[2:]
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    # Cells left over take the grey of the borders.
    grid = np.full((rows * columns, *image_shape), levels / 2, np.float32)
    grid[:count] = x[0]
    grid = grid.reshape(rows, columns, *image_shape)
    draw_samples(grid, levels, path, [""] * rows, f"{names[0]}, {title}")
