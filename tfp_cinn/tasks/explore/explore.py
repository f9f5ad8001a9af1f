"""What `bin/explore.py` does, for a run of any task."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from typing import Any

from tfp_cinn import files
from tfp_cinn.errors import UsageError
from tfp_cinn.tasks.evaluation import load_run
from tfp_cinn.tasks.explore.tools import TOOLS, Run, fitting
from tfp_cinn.tasks.task import check_drawing
from tfp_cinn.workdir import Workdir

__all__ = ["explore"]


def explore(
    workdir: str | os.PathLike,
    what: Sequence[str] | None = None,
    output: str | os.PathLike | None = None,
    cond: Sequence[str] | None = None,
    seed: int = 0,
    steps: int = 7,
    num_examples: int = 1000,
    **moved: str | os.PathLike | None,
) -> dict[str, Any]:
    """Draw pictures of a trained model's latent space into a folder; docs/latent.md shows them.

    Args:
        workdir: the training run.
        what: tools by name; if None, all that fit the run and its data.
        output: folder for the pictures, `TOOL.png`; `explore` in the workdir if None.
        cond: which examples to draw, as the task's `cases` reads them.
        seed: the same seed draws the same pictures.
        steps: columns of an interpolation or a walk, 2 to 50.
        num_examples: held-out examples to judge, at most.
        **moved: `idx_dir` or `folder`: where the data are now.

    Returns:
        `dataset`, `model_sha256`, `seed`, `pictures` by tool, and under each tool's name its
        numbers; printed last, as JSON.

    Raises:
        UsageError: if an argument is wrong, or a tool doesn't fit.
    """
    if not 2 <= steps <= 50:
        raise UsageError(f"steps: expected 2 to 50, got {steps}")
    if num_examples < 2:
        raise UsageError(f"num_examples: expected 2 or more, got {num_examples}")
    check_drawing(seed=seed)
    workdir = Workdir(workdir)
    task, model = load_run(workdir, **moved)
    dist = model.distribution
    tools = fitting(dist)
    for name in what or ():
        if name not in tools:
            reason = "doesn't fit this run" if name in TOOLS else "no such tool"
            raise UsageError(f"what: {name}: {reason}; expected some of {', '.join(tools)}")
    folder = files.user_path(output) if output else workdir / "explore"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: can't be written ({error.strerror}); choose another") from None
    run = Run(task, dist, task.cases(cond, dist), seed, steps, num_examples, folder)
    result = {
        "dataset": task.description.get("dataset"),
        "model_sha256": workdir.model_sha256(),
        "seed": seed,
        "pictures": {},
    }
    for name in what or tools:
        try:
            draw, numbers = TOOLS[name](run)
        except UsageError as error:
            if what:
                raise
            print(f"left out: {error}")
            continue
        with Workdir(folder).writing(f"{name}.png") as scratch:
            draw(scratch)
        print(folder / f"{name}.png", flush=True)
        result["pictures"][name] = str(folder / f"{name}.png")
        result[name] = numbers
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
