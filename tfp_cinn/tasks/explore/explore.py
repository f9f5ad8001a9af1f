"""What `bin/explore.py` does, for a run of any kind."""

from __future__ import annotations

import json
import math
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from tfp_cinn.errors import UsageError
from tfp_cinn.tasks.evaluation import load_run
from tfp_cinn.tasks.explore import paths, sets
from tfp_cinn.tasks.explore.options import Options, Picture
from tfp_cinn.tasks.explore.subject import Examples, Subject
from tfp_cinn.workdir import Workdir

__all__ = ["TOOLS", "explore"]

Tool = Callable[[Subject, Examples, Options], Picture]

TOOLS: dict[str, Tool] = {
    "interpolation": paths.interpolation,
    "transfer": paths.transfer,
    "temperature": paths.temperature,
    "walks": paths.walks,
    "scales": paths.scales,
    "likelihood": sets.likelihood,
    "foreign": sets.foreign,
}


def explore(
    workdir: str | os.PathLike,
    what: Sequence[str] | None = None,
    output: str | os.PathLike | None = None,
    cond: Sequence[str] | None = None,
    idx_dir: str | os.PathLike | None = None,
    folder: str | os.PathLike | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Draw pictures of the latent space of a training run's model; docs/latent.md shows them.

    Writes each tool's picture into a folder, `TOOL.png`, and prints its path. The last line printed
    is what is returned, as JSON.

    Args:
        workdir: the training run.
        what: tools by name, of `TOOLS`; all that fit the run if None.
        output: folder for the pictures; `explore` in the workdir if None.
        cond: conditions as the task reads them.
        idx_dir: see `tfp_cinn.tasks.evaluate`.
        folder: likewise.
        **options: of `tfp_cinn.tasks.explore.options.Options`; those that are None are left at
            their defaults.

    Returns:
        `dataset`, `model_sha256`, `seed`, `pictures` by tool, and under each tool's name its
        numbers.

    Raises:
        UsageError: if an argument is wrong, or the task can't be explored.
    """
    workdir = Workdir(workdir)
    options = {key: value for key, value in options.items() if value is not None}
    if "temperatures" in options:
        options["temperatures"] = _numbers(options["temperatures"])
    output = pathlib.Path(output) if output else workdir / "explore"
    options = Options(**options)
    options.check()
    task, model = load_run(workdir, idx_dir=idx_dir, folder=folder)
    subject = task.subject(model)
    names = _chosen(what, subject)
    _make_folder(output)
    cases = subject.cases(cond)
    result = {
        "dataset": task.description.get("dataset"),
        "model_sha256": workdir.model_sha256(),
        "seed": options.seed,
        "pictures": {},
    }
    for name in names:
        picture = TOOLS[name](subject, cases, options)
        with Workdir(output).writing(f"{name}.png") as scratch:
            picture.draw(scratch)
        print(output / f"{name}.png", flush=True)
        result["pictures"][name] = str(output / f"{name}.png")
        result[name] = picture.numbers
        if picture.write_more:
            for path in picture.write_more(output):
                print(path, flush=True)
    result = _for_json(result)
    print(json.dumps(result, allow_nan=False))
    return result


def _numbers(values: Sequence[str | float]) -> list[float]:
    try:
        return [float(value) for value in values]
    except ValueError:
        raise UsageError(f"temperatures: expected numbers, got {', '.join(values)}") from None


def _for_json(value: Any) -> Any:
    """Nested dicts and lists with null where JSON has no number."""
    if isinstance(value, dict):
        return {key: _for_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_for_json(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _chosen(what: Sequence[str] | None, kind: Subject) -> list[str]:
    if what is None:
        return list(kind.tools)
    exist = ", ".join(kind.tools)
    if not what:
        raise UsageError(f"what: expected one tool or more of {exist}, got none")
    for name in what:
        if name not in TOOLS:
            raise UsageError(f"what: expected tools of {exist}, got {name!r}")
        if name not in kind.tools:
            raise UsageError(f"what: {name} doesn't fit this kind of run; expected {exist}")
    return list(dict.fromkeys(what))


def _make_folder(folder: pathlib.Path) -> None:
    """Makes the folder, before minutes go by, or says why it can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"{folder}: can't be written ({error.strerror}); choose another --output"
        ) from None
