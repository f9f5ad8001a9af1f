"""Checkpoints: all that a run needs to go on as if it had never stopped."""

from __future__ import annotations

import json
import math
import pathlib
import re
import zipfile
from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np

from tfp_cinn.errors import NonFiniteError, UsageError
from tfp_cinn.model import CINN
from tfp_cinn.workdir import Workdir

__all__ = ["Moment", "best", "newest", "restore", "save", "save_best"]

_NAME = re.compile(r"step-(\d{9,})\.npz")
_DAMAGED = ".damaged"
_METRICS = "metrics/"
_POSITION = "position.json"
_MOST_HEADER = 1 << 16  # bytes; ours are of some 200


class Moment(NamedTuple):
    """Where a run is, between two steps.

    Attributes:
        step: batches that it has trained on, never less than at an earlier moment.
        epoch: whole epochs among them.
        batch: batches of the epoch after those.
        seconds: what these batches took.
        skipped: batches that it has met and not trained on, since something was NaN or infinite.
        data: what the order of the data depends on; position in an epoch means something only to a
            run for which it is the same.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    skipped: int = 0
    data: dict[str, int] = {}


def save(model: CINN, workdir: Workdir, moment: Moment, keep: int) -> pathlib.Path:
    """Save a checkpoint, and drops all but the newest `keep`.

    It is a `.npz` file of one array a variable: weights, noise generators, the optimizer's
    variables, and the sums behind the metrics of the running epoch; and of the moment, as JSON. The
    CRC-32 of each part is checked when it is read.

    Returns:
        The file.

    Raises:
        NonFiniteError: if a weight is NaN or infinite; nothing is saved or dropped then.
        UsageError: if the file can't be written; what was there is kept.
    """
    bad = [w.path for w in model.weights if w.dtype.startswith("f") and not _finite(w)]
    if bad:
        raise NonFiniteError(f"the weight {bad[0]} is NaN or infinite in epoch {moment.epoch + 1}")
    name = f"checkpoints/step-{moment.step:09d}.npz"
    with workdir.writing(name) as scratch, zipfile.ZipFile(scratch, "w") as archive:
        for member, variable in _members(model):
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, variable.numpy(), allow_pickle=False)
        archive.writestr(_POSITION, json.dumps(moment._asdict()))
    for old in _newest_first(workdir)[max(keep, 1) :]:
        old.unlink()
    return workdir / name


def newest(workdir: Workdir) -> pathlib.Path | None:
    """Path of the newest checkpoint; None if there is none."""
    return next(iter(_newest_first(workdir)), None)


def restore(model: CINN, workdir: Workdir) -> tuple[Moment | None, list[str]]:
    """Load the newest good checkpoint into a compiled model.

    The learning rate stays as it is: it is the config's to say. Damaged checkpoints are renamed to
    `*.damaged`, so that they no longer count; the newest of these is kept.

    Args:
        model: the model that the run's config builds, compiled.
        workdir: the run.

    Returns:
        When the checkpoint was saved, None if there is none, and what was wrong with newer ones, a
        line each.

    Raises:
        UsageError: if there are checkpoints and none is good; then they are left alone.
    """
    problems, damaged = [], []
    for path in _newest_first(workdir):
        try:
            moment = _load(model, path)
        except UsageError as error:
            problems.append(str(error))
            damaged.append(path)
            continue
        for bad in damaged:
            bad.rename(bad.with_name(bad.name + _DAMAGED))
        for bad in sorted((workdir / "checkpoints").glob("*" + _DAMAGED))[:-1]:
            bad.unlink()
        return moment, problems
    if problems:
        raise UsageError(
            f"{workdir}: no checkpoint can be loaded ({problems[0]}); remove its folder "
            "checkpoints to train anew"
        )
    old = next((workdir / "checkpoints").glob("epoch-*.keras"), None)
    if old:
        raise UsageError(
            f"{old}: a checkpoint of an earlier release, which this one can't go on from; remove "
            "the folder checkpoints to train anew, or finish the run with that release"
        )
    return None, problems


def save_best(model: CINN, workdir: Workdir, nats_per_dim: float) -> None:
    """Save the model of the best epoch so far as the workdir's `model.keras`.

    Raises:
        UsageError: if the file can't be written; what was there is kept.
    """
    with workdir.writing(workdir.model_path.name) as scratch:
        keras.Model.save(model, scratch)  # ours would write aside once more
        # In the file itself, so that the two can't disagree, and where Keras looks for nothing.
        with zipfile.ZipFile(scratch, "a") as archive:
            archive.comment = json.dumps({"nats_per_dim": nats_per_dim}).encode()


def best(workdir: Workdir) -> float:
    """Nats/dim of the epoch that `model.keras` is of; infinity if there is none or it's unknown."""
    try:
        with zipfile.ZipFile(workdir.model_path) as archive:
            return float(json.loads(archive.comment)["nats_per_dim"])
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile):
        return math.inf


def _members(model: CINN) -> Iterator[tuple[str, keras.Variable]]:
    """All variables that a run changes, and their names in a checkpoint."""
    model.optimizer.build(model.trainable_variables)
    parts = {
        "model": model.variables,
        "optimizer": [v for v in model.optimizer.variables if v.name != "learning_rate"],
        **{f"{_METRICS}{metric.name}": metric.variables for metric in model.metrics},
    }
    for part, variables in parts.items():
        # Names of layers depend on how many there were before, their order doesn't.
        for number, variable in enumerate(variables):
            yield f"{part}/{number:05d}.npy", variable


def _load(model: CINN, path: pathlib.Path) -> Moment:
    """Set all variables, or none."""
    variables = dict(_members(model))
    try:
        with zipfile.ZipFile(path) as archive:
            there = set(archive.namelist())
            # With another `train.memory` the same run reports other metrics.
            if any(not m.startswith(_METRICS) for m in there ^ {*variables, _POSITION}):
                raise UsageError(f"{path}: not a checkpoint of this network and optimizer")
            variables = {member: v for member, v in variables.items() if member in there}
            moment = _moment(path, archive)
            values = [_read(archive, member, v, path) for member, v in variables.items()]
    except UsageError:
        raise
    except Exception as error:  # zipfile and numpy raise almost anything on damage
        reason = str(error) or type(error).__name__
        raise UsageError(f"{path}: damaged ({' '.join(reason.split())})") from None
    for variable, value in zip(variables.values(), values, strict=True):
        variable.assign(value)
    return moment


def _read(
    archive: zipfile.ZipFile, member: str, variable: keras.Variable, path: pathlib.Path
) -> np.ndarray:
    """An array, of which nothing is allocated unless it is of the variable's shape and type."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{member} has the unknown version {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file, _MOST_HEADER)
        if shape != tuple(variable.shape) or dtype != variable.numpy().dtype:
            raise UsageError(f"{path}: not a checkpoint of this network and optimizer")
        size = math.prod(shape) * dtype.itemsize
        content = file.read(size + 1)  # to the end, where the CRC is compared
    if len(content) != size:
        raise ValueError(f"{member} has {len(content)} bytes of {size}")
    return np.frombuffer(content, dtype).reshape(shape)


def _moment(path: pathlib.Path, archive: zipfile.ZipFile) -> Moment:
    if archive.getinfo(_POSITION).file_size > _MOST_HEADER:
        raise ValueError(f"{_POSITION} is too long")
    found = json.loads(archive.read(_POSITION))
    moment = Moment(**found)
    counts = (moment.step, moment.epoch, moment.batch, moment.skipped)
    if not all(isinstance(n, int) and n >= 0 for n in counts) or not isinstance(moment.data, dict):
        raise ValueError(f"{_POSITION} holds {found}")
    return moment._replace(seconds=float(moment.seconds))


def _finite(weight: keras.Variable) -> bool:
    return bool(np.all(np.isfinite(weight)))


def _newest_first(workdir: Workdir) -> list[pathlib.Path]:
    found = [p for p in (workdir / "checkpoints").glob("step-*.npz") if _NAME.fullmatch(p.name)]
    return sorted(found, key=lambda path: int(_NAME.fullmatch(path.name)[1]), reverse=True)
