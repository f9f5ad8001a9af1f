"""Samples of a class-conditional flow, and what `bin/sample.py` does with them."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tqdm

from tfp_cinn.errors import UsageError
from tfp_cinn.memory import check_room
from tfp_cinn.model import CINN
from tfp_cinn.tasks.facts import class_names, field
from tfp_cinn.tasks.output import (
    check_drawing,
    check_output,
    to_labels,
    write_samples,
)
from tfp_cinn.workdir import Workdir

__all__ = ["draw", "sample"]

_CHUNK = 250


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
    holds `x`, float32 `[conditions, num_samples, H, W, C]` in gray levels as the flow draws them
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
    labels = to_labels(cond, names)
    check_drawing(num_samples, temperature, seed)
    output = pathlib.Path(output) if output else workdir / "samples.png"
    check_output(output, len(labels), num_samples)
    x = draw(workdir.load_model(), labels, num_samples, temperature, seed)
    write_samples(x, labels, temperature, seed, output, names, levels, dataset)
    print(output)
    return output


def draw(
    model: CINN, labels: Sequence[int], num_samples: int, temperature: float, seed: int
) -> np.ndarray:
    """Samples of each label, `[labels, num_samples, H, W, C]`, in gray levels.

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
    check_room("num_samples", (len(labels), num_samples, *model.event_shape))
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
