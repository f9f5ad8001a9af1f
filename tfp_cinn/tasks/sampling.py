"""Drawing samples of a training run."""

from __future__ import annotations

import inspect
import os
import pathlib
from collections.abc import Sequence

from tfp_cinn import files
from tfp_cinn.errors import UsageError
from tfp_cinn.tasks.sampler import ModelSampler
from tfp_cinn.tasks.task import check_drawing, restore
from tfp_cinn.workdir import Workdir

__all__ = ["sample"]


def sample(
    workdir: str | os.PathLike,
    cond: Sequence[str] | None = None,
    num_samples: int = 12,
    temperature: float = 1.0,
    seed: int = 0,
    output: str | os.PathLike | None = None,
    truth: str | os.PathLike | None = None,
) -> pathlib.Path:
    """Draw samples of a training run's model into a file, and print its path.

    A sample depends on the seed, its condition and its number alone, not on the other conditions;
    an export of the run draws the same, up to rounding.

    Args:
        workdir: the training run.
        cond: conditions as the task reads them: classes by number or name, image files, or a file
            of arrays.
        num_samples: samples of each.
        temperature: factor on the latents.
        seed: an integer from 0.
        output: the file to write; one in the workdir if None. A `.npz` holds `x`
            `[num_samples, conditions, ...]`, `log_prob` in nats and the conditions; what else can
            be written depends on the task.
        truth: a file of the true x of each condition, for a task that marks it in pictures.

    Raises:
        UsageError: if an argument is wrong.
    """
    workdir = Workdir(workdir)
    check_drawing(num_samples, temperature, seed)
    task = restore(workdir)
    output = files.user_path(output) if output else workdir / task.samples_file
    sampler = ModelSampler(workdir.load_model(), task)
    options = {} if truth is None else {"truth": str(files.user_path(truth))}
    if options and "truth" not in inspect.signature(task.write_samples).parameters:
        raise UsageError(f"truth: the task {task.name!r} marks none; leave --truth away")
    task.sample(sampler, cond, num_samples, temperature, seed, output, **options)
    print(output)
    return output
