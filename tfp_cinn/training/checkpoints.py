"""Checkpoints: saved after an epoch, checked when written and when read."""

from __future__ import annotations

import pathlib
import re

import keras
import numpy as np

from tfp_cinn.errors import NonFiniteError, UsageError
from tfp_cinn.model import CINN, load_model
from tfp_cinn.workdir import Workdir

__all__ = ["newest", "restore", "save"]

_NAME = re.compile(r"epoch-(\d+)\.keras")


def save(model: CINN, workdir: Workdir, epoch: int, keep: int) -> None:
    """Saves model and optimizer after `epoch` epochs, and drops all but the newest `keep`.

    Raises:
        NonFiniteError: if a weight is NaN or infinite; nothing is saved or dropped then.
    """
    bad = [w.path for w in model.weights if w.dtype.startswith("f") and not _finite(w)]
    if bad:
        raise NonFiniteError(f"the weight {bad[0]} is NaN or infinite after epoch {epoch}")
    with workdir.writing(f"checkpoints/epoch-{epoch:05d}.keras") as scratch:
        model.save(scratch)
    for old in _newest_first(workdir)[max(keep, 1) :]:
        old.unlink()


def newest(workdir: Workdir) -> pathlib.Path | None:
    """Path of the newest checkpoint; None if there is none."""
    return next(iter(_newest_first(workdir)), None)


def restore(model: CINN, workdir: Workdir) -> tuple[int | None, list[str]]:
    """Loads the newest good checkpoint into a compiled model.

    Damaged ones are renamed to `*.damaged`, so that they no longer count.

    Args:
        model: the model that the run's config builds, compiled.
        workdir: the run.

    Returns:
        After how many epochs the checkpoint was saved, None if there is none, and what was wrong
        with newer ones, a line each.

    Raises:
        UsageError: if there are checkpoints and none is good; then they are left alone.
    """
    problems, damaged = [], []
    for path in _newest_first(workdir):
        try:
            _load(model, path)
        except UsageError as error:
            problems.append(str(error))
            damaged.append(path)
            continue
        for bad in damaged:
            bad.rename(bad.with_suffix(".keras.damaged"))
        return int(_NAME.fullmatch(path.name)[1]), problems
    if problems:
        raise UsageError(
            f"{workdir}: no checkpoint can be loaded ({problems[0]}); remove its folder "
            "checkpoints to train anew"
        )
    return None, problems


def _load(model: CINN, path: pathlib.Path) -> None:
    saved = load_model(path)
    try:
        values = [v.numpy() for v in _state(saved)]
        model.set_weights(saved.get_weights())
        model.optimizer.build(model.trainable_variables)
        for variable, value in zip(_state(model), values, strict=True):
            variable.assign(value)
    except (AttributeError, ValueError):
        raise UsageError(f"{path}: not a checkpoint of this network and optimizer") from None


def _state(model: CINN) -> list[keras.Variable]:
    """The optimizer's variables but for the learning rate: it is the config's to say."""
    return [v for v in model.optimizer.variables if v.name != "learning_rate"]


def _finite(weight: keras.Variable) -> bool:
    return bool(np.all(np.isfinite(weight)))


def _newest_first(workdir: Workdir) -> list[pathlib.Path]:
    found = [p for p in (workdir / "checkpoints").glob("*.keras") if _NAME.fullmatch(p.name)]
    return sorted(found, reverse=True)
