"""Checkpoints: everything a run needs to continue as if it had never stopped."""

from __future__ import annotations

import json
import pathlib
import zipfile
from collections.abc import Mapping
from typing import NamedTuple

import keras
import numpy as np

from tfp_cinn.errors import NonFiniteError, UsageError
from tfp_cinn.model import CINN
from tfp_cinn.workdir import Workdir

__all__ = ["Moment", "newest", "restore", "save"]

_MOMENT = "moment.json"
_KEEP = 2


class Moment(NamedTuple):
    """The position of a run between two steps.

    Attributes:
        step: number of batches trained on; it never decreases.
        epoch: number of complete epochs.
        batch: number of batches trained on in the running epoch.
        seconds: time that these batches took.
        history: metrics of each complete epoch.
        data: what the order of the data depends on; `batch` is only valid for a run with the same.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = []
    data: dict[str, int] = {}

    @property
    def best_epoch(self) -> int:
        """The epoch with the best likelihood, counted from 1; 0 if there is none."""
        return int(min(self.history, key=criterion)["epoch"]) if self.history else 0


def criterion(metrics: Mapping[str, float]) -> float:
    """Return what the best epoch has least of: nats/dim in validation, else in training."""
    return metrics.get("val_nats_per_dim", metrics["nats_per_dim"])


def save(model: CINN, workdir: Workdir, moment: Moment) -> pathlib.Path:
    """Save a checkpoint, and delete all but the newest two.

    It is a `.npz` file with one array per variable (weights, noise generators, the optimizer's
    variables, the sums behind the metrics of the running epoch) and the moment as JSON.

    Returns:
        The file.

    Raises:
        NonFiniteError: if a weight is NaN or infinite; nothing is saved or deleted then.
        WriteError: if the file can't be written; the old file is kept.
    """
    bad = [weight.path for weight in model.weights if not np.all(np.isfinite(weight))]
    if bad:
        raise NonFiniteError(f"the weight {bad[0]} is NaN or infinite in epoch {moment.epoch + 1}")
    name = f"checkpoints/step-{moment.step:09d}.npz"
    with workdir.writing(name) as scratch, zipfile.ZipFile(scratch, "w") as archive:
        for member, variable in _variables(model).items():  # one at a time in memory
            with archive.open(f"{member}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, variable.numpy(), allow_pickle=False)
        archive.writestr(_MOMENT, json.dumps(moment._asdict()))
    for old in _newest_first(workdir)[_KEEP:]:
        old.unlink()
    return workdir / name


def newest(workdir: Workdir) -> pathlib.Path | None:
    """Return the path of the newest checkpoint; None if there is none."""
    return next(iter(_newest_first(workdir)), None)


def restore(model: CINN, workdir: Workdir) -> Moment | None:
    """Load the newest good checkpoint into a compiled model; None if there is no checkpoint.

    Damaged ones are named, and renamed to `*.damaged`. The learning rate doesn't change: the config
    sets it.

    Raises:
        UsageError: if there are checkpoints and none is good; then they are not renamed.
    """
    damaged = {}
    for path in _newest_first(workdir):
        try:
            moment = _load(model, path)
        except Exception as error:  # zipfile and numpy raise almost anything on damage
            damaged[path] = f"{path}: {' '.join(str(error).split()) or type(error).__name__}"
            continue
        for bad, problem in damaged.items():
            print(f"{problem}; going back to the checkpoint before it")
            bad.rename(bad.with_name(f"{bad.name}.damaged"))
        return moment
    if damaged:
        raise UsageError(
            f"no checkpoint can be loaded ({next(iter(damaged.values()))}); remove "
            f"{workdir / 'checkpoints'} and {workdir.model_path} to train from scratch"
        )
    return None


def _variables(model: CINN) -> dict[str, keras.Variable]:
    """Return all variables that a run changes, by their names in a checkpoint."""
    model.optimizer.build(model.trainable_variables)
    parts = {
        "model": model.variables,
        "optimizer": [v for v in model.optimizer.variables if v.name != "learning_rate"],
        **{f"metrics/{metric.name}": metric.variables for metric in model.metrics},
    }
    # Layer names depend on how many were made before; their order doesn't.
    return {f"{part}/{k:05d}": v for part, group in parts.items() for k, v in enumerate(group)}


def _load(model: CINN, path: pathlib.Path) -> Moment:
    """Set all variables, or none."""
    with zipfile.ZipFile(path) as archive:
        # Ours are stored: compressed ones could expand to any size.
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("has compressed parts")
        if bad := archive.testzip():
            raise ValueError(f"{bad} is damaged")
        if _MOMENT not in archive.namelist():
            raise ValueError("not a checkpoint of this release; finish the run with its own")
        said = json.loads(archive.read(_MOMENT))
        moment = Moment(**{name: said[name] for name in Moment._fields})
    with np.load(path, allow_pickle=False) as arrays:
        members = {name for name in arrays.files if name != _MOMENT}
        variables = _variables(model)
        # Runs with another `train.memory` report other metrics.
        different = {n for n in members ^ variables.keys() if not n.startswith("metrics/")}
        variables = {name: v for name, v in variables.items() if name in members}
        values = [arrays[name] for name in variables]
    shapes = [tuple(variable.shape) for variable in variables.values()]
    if different or [value.shape for value in values] != shapes:
        raise ValueError("not a checkpoint of this network and optimizer")
    for variable, value in zip(variables.values(), values, strict=True):
        variable.assign(value)
    return moment


def _newest_first(workdir: Workdir) -> list[pathlib.Path]:
    paths = (workdir / "checkpoints").glob("step-*.npz")
    return sorted(paths, key=lambda path: (len(path.name), path.name), reverse=True)
