"""What the programs do with a run, whatever its task."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tfp_cinn.errors import UsageError
from tfp_cinn.tasks.explore.explore import explore_run
from tfp_cinn.tasks.explore.options import Options
from tfp_cinn.tasks.task import Task, find
from tfp_cinn.workdir import Workdir

__all__ = ["card_facts", "evaluate", "explore", "load", "load_nothing", "sample", "task_of"]

_FIRST = "classes"  # the task of the first runs, which don't name theirs


def load(config: Mapping[str, Any]) -> Task:
    """Load the task that a config describes, with its data.

    Args:
        config: nested dicts; `data.kind` is a registered task.

    Raises:
        UsageError: if there is no such task, or the data can't be had.
    """
    return find(config["data"]["kind"], "config.data.kind").load(config["data"], config["model"])


def load_nothing(config: Mapping[str, Any]) -> Task:
    """Return what is known of the task that a config describes without its data.

    Args:
        config: as for `load`.

    Raises:
        UsageError: if there is no such task, or a field is wrong.
    """
    task = find(config["data"]["kind"], "config.data.kind")
    return task.without_data(config["data"], config["model"])


def task_of(workdir: Workdir) -> type[Task]:
    """Return the task of a run.

    Raises:
        UsageError: if it isn't registered.
    """
    return find(workdir.dataset().get("kind", _FIRST), str(workdir / "dataset.json"))


def card_facts(workdir: Workdir) -> dict[str, Any]:
    """Return what a model card tells of a run's task and data."""
    facts, task = workdir.dataset(), task_of(workdir)
    return {"kind": task.name, **task.card(facts, workdir / "dataset.json")}


def evaluate(
    workdir: str | os.PathLike, source: str | os.PathLike | None = None, **options: Any
) -> dict[str, Any]:
    """Measure the model of a training run on its test data.

    Args:
        workdir: the training run.
        source: folder to read the data from, instead of where training did.
        **options: of the task's `evaluate`; those that are None are left at their defaults.

    Raises:
        UsageError: if workdir, data or an option is wrong.
    """
    workdir = Workdir(workdir)
    options = {key: value for key, value in options.items() if value is not None}
    return task_of(workdir).evaluate(workdir, source, **options)


def sample(
    workdir: str | os.PathLike,
    cond: Sequence[str] | None = None,
    num_samples: int = 12,
    temperature: float = 1.0,
    seed: int = 0,
    output: str | os.PathLike | None = None,
) -> pathlib.Path:
    """Draw samples of a training run's model into a file, and print its path.

    Args:
        workdir: the training run.
        cond: conditions as the task reads them: classes by number or name, image files, or a file
            of arrays.
        num_samples: samples of each.
        temperature: factor on the latents.
        seed: the same seed draws the same samples.
        output: the file to write; one in the workdir if None.

    Raises:
        UsageError: if an argument is wrong.
    """
    workdir = Workdir(workdir)
    task = task_of(workdir)
    output = pathlib.Path(output) if output else workdir / task.samples_file
    task.sample(workdir, cond, num_samples, temperature, seed, output)
    return output


def explore(
    workdir: str | os.PathLike,
    what: Sequence[str] | None = None,
    output: str | os.PathLike | None = None,
    cond: Sequence[str] | None = None,
    source: str | os.PathLike | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Draw pictures of the latent space of a training run's model; docs/latent.md shows them.

    Args:
        workdir: the training run.
        what: tools by name, of `explore_run.TOOLS`; all that fit the run if None.
        output: folder for the pictures, `TOOL.png`; `explore` in the workdir if None.
        cond: conditions as the task reads them.
        source: folder to read the data from, instead of where training did.
        **options: of `tfp_cinn.tasks.explore.options.Options`; those that are None are left
            at their defaults.

    Returns:
        What was measured beside the pictures; it is printed last, as JSON.

    Raises:
        UsageError: if an argument is wrong, or the task can't be explored.
    """
    workdir = Workdir(workdir)
    options = {key: value for key, value in options.items() if value is not None}
    if "temperatures" in options:
        options["temperatures"] = _numbers(options["temperatures"])
    output = pathlib.Path(output) if output else workdir / "explore"
    subject = task_of(workdir).subject()
    return explore_run(workdir, subject, what, output, cond, source, Options(**options))


def _numbers(values: Sequence[str | float]) -> list[float]:
    try:
        return [float(value) for value in values]
    except ValueError:
        raise UsageError(f"temperatures: expected numbers, got {', '.join(values)}") from None
