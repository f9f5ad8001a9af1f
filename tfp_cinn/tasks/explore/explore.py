"""What `bin/explore.py` does, for a run of any kind."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from tfp_cinn.errors import UsageError
from tfp_cinn.tasks.explore import paths, sets
from tfp_cinn.tasks.explore.options import Options, Picture
from tfp_cinn.tasks.explore.subject import Examples, Subject
from tfp_cinn.workdir import Workdir

__all__ = ["TOOLS", "explore_run"]

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


def explore_run(
    workdir: Workdir,
    kind: type[Subject],
    what: Sequence[str] | None,
    output: pathlib.Path,
    cond: Sequence[str] | None,
    source: str | None,
    options: Options,
) -> dict[str, Any]:
    """Draws each tool's picture of a run into a folder, `TOOL.png`, and prints its path.

    The last line printed is what is returned, as JSON.

    Args:
        workdir: the run.
        kind: what loads a run of its kind.
        what: tools by name; all that fit if None.
        output: the folder, which is made if need be.
        cond: conditions to draw, as the kind names them.
        source: folder to read the data from.
        options: how to draw.

    Returns:
        `dataset`, `model_sha256`, `seed`, `pictures` by tool, and under each tool's name its
        numbers.

    Raises:
        UsageError: if a tool is unknown or doesn't fit, or an argument doesn't serve.
    """
    options.check()
    names = _chosen(what, kind)
    _make_folder(output)
    subject = kind.load(workdir, source)
    cases = subject.cases(cond)
    result = {
        "dataset": workdir.dataset().get("name"),
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


def _for_json(value: Any) -> Any:
    """Nested dicts and lists with null where JSON has no number."""
    if isinstance(value, dict):
        return {key: _for_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_for_json(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _chosen(what: Sequence[str] | None, kind: type[Subject]) -> list[str]:
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
