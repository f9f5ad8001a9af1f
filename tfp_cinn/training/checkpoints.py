"""Checkpoints: everything a run needs to continue as if it had never stopped."""

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
_MOST_HEADER = 1 << 16  # bytes; ours have about 200


class Moment(NamedTuple):
    """The position of a run between two steps.

    Attributes:
        step: number of batches trained on; it never decreases.
        epoch: number of complete epochs.
        batch: number of batches trained on in the running epoch.
        seconds: time that these batches took.
        skipped: number of batches skipped because something was NaN or infinite.
        data: what the order of the data depends on; `batch` is only valid for a run with the same.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    skipped: int = 0
    data: dict[str, int] = {}


def save(model: CINN, workdir: Workdir, moment: Moment, keep: int) -> pathlib.Path:
    """Save a checkpoint, and delete all but the newest `keep`.

    It is a `.npz` file with one array per variable (weights, noise generators, the optimizer's
    variables, the sums behind the metrics of the running epoch) and the moment as JSON. Reading
    checks the CRC-32 of each part.

    Returns:
        The file.

    Raises:
        NonFiniteError: if a weight is NaN or infinite; nothing is saved or deleted then.
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
    """Return the path of the newest checkpoint; None if there is none."""
    return next(iter(_newest_first(workdir)), None)


def restore(model: CINN, workdir: Workdir) -> tuple[Moment | None, list[str]]:
    """Load the newest good checkpoint into a compiled model.

    The learning rate doesn't change: the config sets it. Damaged checkpoints are renamed to
    `*.damaged`; only the newest of these is kept.

    Args:
        model: the model that the run's config builds, compiled.
        workdir: the run.

    Returns:
        The moment of the checkpoint, None if there is none, and a line per newer, damaged one.

    Raises:
        UsageError: if there are checkpoints and none is good; then they are not renamed.
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
        # In the file itself, so that the two can't disagree; Keras ignores it.
        with zipfile.ZipFile(scratch, "a") as archive:
            archive.comment = json.dumps({"nats_per_dim": nats_per_dim}).encode()


def best(workdir: Workdir) -> float:
    """Return the nats/dim of the epoch in `model.keras`; infinity if missing or unknown."""
    try:
        with zipfile.ZipFile(workdir.model_path) as archive:
            return float(json.loads(archive.comment)["nats_per_dim"])
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile):
        return math.inf


def _members(model: CINN) -> Iterator[tuple[str, keras.Variable]]:
    """Return all variables that a run changes, by their names in a checkpoint."""
    model.optimizer.build(model.trainable_variables)
    parts = {
        "model": model.variables,
        "optimizer": [v for v in model.optimizer.variables if v.name != "learning_rate"],
        **{f"{_METRICS}{metric.name}": metric.variables for metric in model.metrics},
    }
    for part, variables in parts.items():
        # Layer names depend on how many were made before; their order doesn't.
        for number, variable in enumerate(variables):
            yield f"{part}/{number:05d}.npy", variable


def _load(model: CINN, path: pathlib.Path) -> Moment:
    """Set all variables, or none."""
    variables = dict(_members(model))
    try:
        with zipfile.ZipFile(path) as archive:
            there = set(archive.namelist())
            # Runs with another `train.memory` report other metrics.
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
    """Read an array, after checking its shape and type, before allocating memory for it."""
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
