"""What `bin/evaluate.py`, `bin/sample.py` and `bin/explore.py` do, for a run of any kind."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tfp_cinn.errors import UsageError
from tfp_cinn.tasks.class_images.evaluate import evaluate as evaluate_class_images
from tfp_cinn.tasks.class_images.explore import ExploredClasses
from tfp_cinn.tasks.class_images.sample import sample as sample_class_images
from tfp_cinn.tasks.class_images.task import ClassImages
from tfp_cinn.tasks.color_digits.evaluate import evaluate_color_digits
from tfp_cinn.tasks.color_digits.explore import ExploredColorDigits
from tfp_cinn.tasks.color_digits.sample import sample_color_digits
from tfp_cinn.tasks.color_digits.task import ColorDigits
from tfp_cinn.tasks.colorization.evaluate import evaluate_colorings
from tfp_cinn.tasks.colorization.explore import ExploredColorings
from tfp_cinn.tasks.colorization.photographs import sample_colorings
from tfp_cinn.tasks.colorization.task import Colorization
from tfp_cinn.tasks.explore.explore import explore_run
from tfp_cinn.tasks.explore.options import Options
from tfp_cinn.tasks.explore.subject import Subject
from tfp_cinn.workdir import Workdir

__all__ = ["evaluate", "explore", "sample"]


def evaluate(
    workdir: str | os.PathLike, source: str | os.PathLike | None = None, **options: Any
) -> dict[str, Any]:
    """Measures the model of a training run on its test data.

    Args:
        workdir: the training run.
        source: folder to read the data from, instead of where training did.
        **options: of `tfp_cinn.tasks.class_images.evaluate`, `evaluate_colorings` or
            `evaluate_color_digits`, by the run's kind; those that are None are left at their
            defaults.

    Raises:
        UsageError: if workdir, data or an option don't serve.
    """
    workdir = Workdir(workdir)
    options = {key: value for key, value in options.items() if value is not None}
    programs = _programs(workdir)
    if "feature_weights" in options and programs.evaluate is not evaluate_colorings:
        raise UsageError("feature_weights: only colorization runs are judged by a feature network")
    return programs.evaluate(workdir, **{programs.source: source}, **options)


def sample(
    workdir: str | os.PathLike,
    cond: Sequence[str] | None = None,
    num_samples: int = 12,
    temperature: float = 1.0,
    seed: int = 0,
    output: str | os.PathLike | None = None,
) -> pathlib.Path:
    """Draws samples of a training run's model into a picture or an array file.

    Args:
        workdir: the training run.
        cond: classes by number or name, or image files to color, by the run's kind.
        num_samples: samples of each.
        temperature: factor on the latents.
        seed: the same seed draws the same samples.
        output: the `.png` or `.npz` to write; `samples.png` in the workdir if None.

    Returns:
        The file's path, which is printed as well.

    Raises:
        UsageError: if workdir, condition, number, temperature, seed or output don't serve.
    """
    workdir = Workdir(workdir)
    output = pathlib.Path(output) if output else workdir / "samples.png"
    _programs(workdir).sample(workdir, cond, num_samples, temperature, seed, output)
    return output


def explore(
    workdir: str | os.PathLike,
    what: Sequence[str] | None = None,
    output: str | os.PathLike | None = None,
    cond: Sequence[str] | None = None,
    source: str | os.PathLike | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Draws pictures of the latent space of a training run's model; docs/latent.md shows them.

    Args:
        workdir: the training run.
        what: tools by name, of `explore_run.TOOLS`; all that fit the run if None.
        output: folder for the pictures, `TOOL.png`; `explore` in the workdir if None.
        cond: classes by number or name, or photographs, by the run's kind.
        source: folder to read the data from, instead of where training did.
        **options: of `tfp_cinn.tasks.explore.options.Options`; those that are None are left
            at their defaults.

    Returns:
        What was measured beside the pictures; it is printed last, as JSON.

    Raises:
        UsageError: if workdir, tool, condition, data, output or an option don't serve.
    """
    workdir = Workdir(workdir)
    options = {key: value for key, value in options.items() if value is not None}
    if "temperatures" in options:
        options["temperatures"] = _numbers(options["temperatures"])
    output = pathlib.Path(output) if output else workdir / "explore"
    subject = _programs(workdir).subject
    return explore_run(workdir, subject, what, output, cond, source, Options(**options))


def _numbers(values: Sequence[str | float]) -> list[float]:
    try:
        return [float(value) for value in values]
    except ValueError:
        raise UsageError(f"temperatures: expected numbers, got {', '.join(values)}") from None


class _Programs(NamedTuple):
    evaluate: Callable[..., dict[str, Any]]
    source: str  # what evaluate calls the folder to read from
    sample: Callable[..., Any]
    subject: type[Subject]  # of exploring


_PROGRAMS = {
    ClassImages.kind: _Programs(
        evaluate_class_images, "idx_dir", sample_class_images, ExploredClasses
    ),
    Colorization.kind: _Programs(evaluate_colorings, "folder", sample_colorings, ExploredColorings),
    ColorDigits.kind: _Programs(
        evaluate_color_digits, "idx_dir", sample_color_digits, ExploredColorDigits
    ),
}


def _programs(workdir: Workdir) -> _Programs:
    kind = workdir.dataset().get("kind", ClassImages.kind)  # written by all but the first runs
    if kind not in _PROGRAMS:
        raise UsageError(f"{workdir / 'dataset.json'}: knows no kind of experiment {kind!r}")
    return _PROGRAMS[kind]
