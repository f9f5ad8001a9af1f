"""Weights that were trained with FrEIA, in a training run's folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tfp_cinn import tasks
from tfp_cinn.configs import as_dict
from tfp_cinn.errors import UsageError
from tfp_cinn.interop import import_freia, read_checkpoint
from tfp_cinn.model import CINN
from tfp_cinn.workdir import Workdir

__all__ = ["import_run_from_freia"]


def import_run_from_freia(
    config: Mapping[str, Any], weights: str | os.PathLike, workdir: str | os.PathLike
) -> CINN:
    """Make a training run's folder of a PyTorch file, as if the config had been trained here.

    The folder can be sampled, evaluated and exported. This needs no data, but the config must give
    the mean and standard deviation of gray levels.

    Args:
        config: as for `train`, of the same network.
        weights: the file; see `tfp_cinn.interop.read_checkpoint` and
            `tfp_cinn.interop.import_freia`.
        workdir: the folder, in which there is no run yet; see `Workdir`.

    Returns:
        The model, as saved in the workdir's `model.keras`.

    Raises:
        UsageError: if the config, the file or the workdir is unsuitable; nothing is written then.
    """
    config, workdir = as_dict(config), Workdir(workdir)
    if os.path.lexists(workdir / "config.json") or os.path.lexists(workdir.model_path):
        raise UsageError(f"{workdir}: holds a run already; choose another workdir")
    tensors = read_checkpoint(weights)
    task = tasks.without_data(config)
    model = task.build(config["model"])
    try:
        import_freia(model, tensors)
    except UsageError as error:
        raise UsageError(f"{weights}: {error}") from None
    with workdir.locked():
        workdir.prepare(config)
        workdir.describe(task.name, task.description)
        model.save(workdir.model_path)
    print(f"{workdir.model_path}: the model with the weights of {weights}")
    return model
