"""What `bin/evaluate.py` and `bin/sample.py` do with a training run."""

from __future__ import annotations

import json
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfp_cinn import data
from tfp_cinn.errors import UsageError
from tfp_cinn.evaluation.likelihood import class_accuracy, nats_per_dim
from tfp_cinn.evaluation.pictures import draw_samples
from tfp_cinn.workdir import Workdir

__all__ = ["evaluate", "sample"]


def evaluate(
    workdir: str | os.PathLike, batch_size: int = 250, idx_dir: str | None = None
) -> dict[str, Any]:
    """Measures the model of a training run on its test data.

    Prints a table and, as the last line, the same as JSON, which it also writes to
    `evaluation.json` in the workdir.

    Args:
        workdir: the training run.
        batch_size: images a batch; changes no figure beyond rounding.
        idx_dir: folder of IDX files to read the data from, instead of where training did.

    Returns:
        For each quantity its mean over the test set and its standard error.

    Raises:
        UsageError: if workdir or data don't serve.
    """
    workdir = Workdir(workdir)
    model = workdir.load_model()
    section = workdir.config()["data"]
    images = data.load(
        section["name"],
        idx_dir=idx_dir or section["idx_dir"],
        data_dir=section["data_dir"],
        num_validation=section["num_validation"],
    )
    batches = data.evaluation_batches(images.test, batch_size)
    nats = nats_per_dim(model, batches)
    figures = {
        "nats_per_dim": nats,
        "bits_per_dim": nats.scaled(1 / math.log(2)),
        "class_accuracy": class_accuracy(model, batches, images.num_classes),
    }
    print(f"{workdir}: {len(images.test.labels)} test images of {images.name}")
    for name, figure in figures.items():
        print(f"  {name:16} {figure.mean:8.4f} +- {figure.standard_error:.4f}")
    result = {
        "dataset": images.name,
        "num_test": len(images.test.labels),
        **{name: figure._asdict() for name, figure in figures.items()},
    }
    with workdir.writing("evaluation.json") as scratch:
        scratch.write_text(json.dumps(result) + "\n")
    print(json.dumps(result))
    return result


def sample(
    workdir: str | os.PathLike,
    cond: Sequence[str | int] | None = None,
    num_samples: int = 12,
    temperature: float = 1.0,
    seed: int = 0,
    output: str | os.PathLike | None = None,
) -> pathlib.Path:
    """Draws samples of a training run's model as a grid, a row for each condition.

    Args:
        workdir: the training run.
        cond: class labels; all classes if None.
        num_samples: samples of each.
        temperature: factor on the latents.
        seed: the same seed draws the same samples.
        output: the PNG to write; `samples.png` in the workdir if None.

    Returns:
        The picture's path, which is printed as well.

    Raises:
        UsageError: if workdir, label, temperature or output don't serve.
    """
    workdir = Workdir(workdir)
    facts = workdir.dataset()
    labels = _labels(cond, facts["num_classes"])
    output = pathlib.Path(output) if output else workdir / "samples.png"
    if output.suffix != ".png" or not output.parent.is_dir():
        raise UsageError(f"{output}: expected the name of a .png file in a folder that exists")
    model = workdir.load_model()
    images = model.distribution.sample(
        labels, sample_shape=num_samples, seed=seed, temperature=temperature
    )
    try:
        title = f"{facts['name']}, temperature {temperature:g}"
        draw_samples(np.swapaxes(images.numpy(), 0, 1), facts["levels"], output, labels, title)
    except OSError as error:
        raise UsageError(f"{output}: can't be written ({error.strerror})") from None
    print(output)
    return output


def _labels(cond: Sequence[str | int] | None, num_classes: int) -> np.ndarray:
    if cond is None:
        return np.arange(num_classes)
    try:
        return np.array([int(label) for label in cond], np.int32)
    except ValueError:
        raise UsageError(
            f"cond: expected class labels 0 to {num_classes - 1}, got {','.join(map(str, cond))!r}"
        ) from None
