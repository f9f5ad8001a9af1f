"""Measuring a run on its test data, and the figures as a table, as JSON and in a model card."""

from __future__ import annotations

import inspect
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfp_cinn.errors import UsageError
from tfp_cinn.metrics.condition_range import condition_distances, describe_far, out_of_range
from tfp_cinn.metrics.figure import Figure
from tfp_cinn.model import CINN
from tfp_cinn.tasks.task import Task, check_drawing, load
from tfp_cinn.workdir import Workdir

__all__ = ["as_json", "evaluate", "from_json", "load_run", "table"]


def evaluate(
    workdir: str | os.PathLike,
    idx_dir: str | os.PathLike | None = None,
    folder: str | os.PathLike | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Measure the model of a training run on its test data.

    Prints a table of the figures and, last, the same as JSON, which goes to `evaluation.json` in
    the workdir.

    Args:
        workdir: the training run.
        idx_dir: where to read the data from, instead of `config.data.idx_dir` of the run.
        folder: the same instead of `config.data.folder`.
        **options: of the task's `measure`, such as `batch_size`, `num_samples`, `temperature` and
            `seed` of samples; None for its default.

    Returns:
        `task`, `dataset`, `model_sha256` of the file that was measured, `options`, and the figures:
        see `as_json`.

    Raises:
        UsageError: if workdir, data or an option is wrong.
    """
    workdir = Workdir(workdir)
    options = {key: value for key, value in options.items() if value is not None}
    given = ("num_samples", "temperature", "seed")
    check_drawing(**{key: options[key] for key in given if key in options})
    task, model = load_run(workdir, idx_dir=idx_dir, folder=folder)
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(task.measure).parameters.items()
        if parameter.default is not parameter.empty
    }
    if unknown := [key for key in options if key not in defaults]:
        raise UsageError(f"{', '.join(unknown)}: not an option of the task {task.name!r}")
    figures = task.measure(model, **options)
    figures += _out_of_range(task, workdir)
    result = {
        "task": task.name,
        "dataset": task.description.get("dataset"),
        "model_sha256": workdir.model_sha256(),
        "options": defaults | options,
        **as_json(figures),
    }
    line = json.dumps(result, allow_nan=False, default=os.fspath)
    task.draw_measured(workdir)
    print(f"{workdir}: means with their standard errors", table(figures), line, sep="\n")
    with workdir.writing("evaluation.json") as scratch:
        scratch.write_text(line + "\n")
    return result


def _out_of_range(task: Task, workdir: Workdir) -> list[Figure]:
    """Return the share of the test conditions that are far from those of training, if known."""
    known = workdir.description().get("condition_range")
    batches = None if known is None else task.test_batches(250)
    if batches is None:
        return []
    far = np.concatenate([condition_distances(known, cond) for _, cond in batches.take(40)])
    if line := describe_far(far):
        print(line)
    return [out_of_range(far)]


def load_run(workdir: Workdir, **moved: str | os.PathLike | None) -> tuple[Task, CINN]:
    """Return a run's task with its data, and its model.

    Args:
        workdir: the run.
        **moved: fields of the config's `data` that say where the data are now.

    Raises:
        UsageError: if data or model can't be had, or differ in shape.
    """
    config = workdir.config()
    section = dict(config["data"])
    for field, place in moved.items():
        if place is None:
            continue
        if field not in section:
            raise UsageError(f"{field}: the data of {workdir} don't come from one")
        section[field] = os.fspath(place)
    model = workdir.load_model()
    task = load({**config, "data": section})
    if tuple(task.event_shape) != model.event_shape:
        raise UsageError(
            f"{workdir}: the model is of x {model.event_shape}, that of the data is "
            f"{tuple(task.event_shape)}; give the data that it was trained on"
        )
    return task, model


def as_json(figures: Iterable[Figure]) -> dict[str, Any]:
    """Return figures by name; those that differ in what they are `of`, by that one level below.

    Each is a dict of `mean`, `standard_error`, `unit` and `meaning`; what JSON can't hold is None.
    """
    result: dict[str, Any] = {}
    for figure in figures:
        numbers = {"mean": figure.mean, "standard_error": figure.standard_error}
        value = {key: float(each) if math.isfinite(each) else None for key, each in numbers.items()}
        value |= {"unit": figure.unit, "meaning": figure.meaning}
        if figure.of:
            result.setdefault(figure.name, {})[figure.of] = value
        else:
            result[figure.name] = value
    return result


def from_json(result: Mapping[str, Any]) -> list[Figure]:
    """Return the figures of a dict such as `as_json` returns, but those without both numbers.

    Whatever else the dict holds is left out.
    """
    figures = []
    for name, value in result.items():
        if not isinstance(value, Mapping):
            continue
        for of, each in ({"": value} if "mean" in value else value).items():
            if isinstance(each, Mapping):
                numbers = [each.get(key) for key in ("mean", "standard_error")]
                if all(type(n) in (int, float) and math.isfinite(n) for n in numbers):
                    text = str(each.get("unit", "")), str(each.get("meaning", ""))
                    figures.append(Figure(*numbers).named(str(name), *text, str(of)))
    return figures


def table(figures: Sequence[Figure]) -> str:
    """Return figures as aligned lines, and below them what each means.

    Figures that are of the same things share a block: names go down and things across, or the other
    way round if there are more things than names.
    """
    blocks: dict[tuple[str, ...], dict[str, list[Figure]]] = {}
    by_name: dict[str, list[Figure]] = {}
    for figure in figures:
        by_name.setdefault(figure.name, []).append(figure)
    for name, group in by_name.items():
        blocks.setdefault(tuple(figure.of for figure in group), {})[name] = group
    lines = []
    for things, groups in blocks.items():
        rows = [[name, *map(_cell, group), group[0].unit] for name, group in groups.items()]
        rows.insert(0, ["", *things, "unit"])
        if len(things) > len(groups):
            rows = [list(row) for row in zip(*rows, strict=True)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for first, *cells in rows:
            cells = [f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)]
            lines.append("  ".join(["", f"{first:{widths[0]}}", *cells]).rstrip())
    width = max(map(len, by_name))
    lines += [f"  {name:{width}}  {group[0].meaning}" for name, group in by_name.items()]
    return "\n".join(lines)


def _cell(figure: Figure) -> str:
    """Return a figure to two digits of its error, 6 decimals at most."""
    error = figure.standard_error
    if error == 0 and figure.mean == round(figure.mean):
        return f"{figure.mean:.0f}"
    if not math.isfinite(error):
        return f"{figure.mean:.4f}"
    decimals = min(max(1 - math.floor(math.log10(error)), 0), 6) if error else 4
    return f"{figure.mean:.{decimals}f} +- {error:.{decimals}f}"
