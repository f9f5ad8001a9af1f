"""Checkpoints: saved after an epoch, checked when written and when read."""

from __future__ import annotations

import pathlib
import re

import keras

from tfp_cinn.errors import UsageError
from tfp_cinn.model import CINN, load_model
from tfp_cinn.workdir import Workdir

__all__ = ["restore", "save"]

_NAME = re.compile(r"epoch-(\d+)\.keras")


def save(model: CINN, workdir: Workdir, epoch: int, keep: int) -> None:
    """Saves model and optimizer after `epoch` epochs, and drops all but the newest `keep`."""
    with workdir.writing(f"checkpoints/epoch-{epoch:05d}.keras") as scratch:
        model.save(scratch)
    for old in _newest_first(workdir)[max(keep, 1) :]:
        old.unlink()


def newest(workdir: Workdir) -> pathlib.Path | None:
    """Path of the newest checkpoint; None if there is none."""
    return next(iter(_newest_first(workdir)), None)


def restore(model: CINN, workdir: Workdir) -> tuple[int, list[str]]:
    """Loads the newest good checkpoint into a compiled model.

    Args:
        model: the model that the run's config builds, compiled.
        workdir: the run.

    Returns:
        After how many epochs the checkpoint was saved, 0 if there is none, and what was wrong with
        newer ones, a line each.

    Raises:
        UsageError: if there are checkpoints and none is good.
    """
    problems = []
    for path in _newest_first(workdir):
        try:
            saved = load_model(path)
        except UsageError as error:
            problems.append(str(error))
            continue
        model.set_weights(saved.get_weights())
        model.optimizer.build(model.trainable_variables)
        for variable, value in zip(_state(model), _state(saved), strict=True):
            variable.assign(value)
        return int(_NAME.fullmatch(path.name)[1]), problems
    if problems:
        raise UsageError(
            f"{workdir}: no checkpoint can be loaded ({problems[0]}); remove its folder "
            "checkpoints to train anew"
        )
    return 0, problems


def _state(model: CINN) -> list[keras.Variable]:
    """The optimizer's variables but for the learning rate: it is the config's to say."""
    return [v for v in model.optimizer.variables if v.name != "learning_rate"]


def _newest_first(workdir: Workdir) -> list[pathlib.Path]:
    found = [p for p in (workdir / "checkpoints").glob("*.keras") if _NAME.fullmatch(p.name)]
    return sorted(found, reverse=True)
