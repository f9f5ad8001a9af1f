"""One training run."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import keras

from tfp_cinn import architectures, data
from tfp_cinn.errors import NonFiniteError, UsageError
from tfp_cinn.model import CINN
from tfp_cinn.training import checkpoints
from tfp_cinn.training.callbacks import Checkpoint, History, Progress
from tfp_cinn.workdir import Workdir

__all__ = ["train"]


def train(config: Mapping[str, Any], workdir: str | os.PathLike) -> CINN:
    """Trains what a config describes, or goes on with it from the workdir's last checkpoint.

    Args:
        config: nested dicts with the fields of `default_config`.
        workdir: the folder for all results; see `Workdir`.

    Returns:
        The model with the weights of its best epoch, as saved in the workdir's `model.keras`.

    Raises:
        UsageError: if the config, the data or the workdir don't serve.
        NonFiniteError: if the loss turns NaN or infinite. The checkpoints are kept.
    """
    section = config["train"]
    _check(section)
    images = data.load(
        config["data"]["name"],
        idx_dir=config["data"]["idx_dir"],
        data_dir=config["data"]["data_dir"],
        num_validation=config["data"]["num_validation"],
    )
    keras.utils.set_random_seed(section["seed"])
    model = architectures.build(data=images, **config["model"])
    steps = len(images.train.labels) // section["batch_size"]
    model.compile(_optimizer(section, max(steps, 1)))

    noise_std = config["data"]["noise_std"] * (config["model"]["std"] or images.std)

    def batches(epoch):
        seed = section["seed"] + epoch
        return data.training_batches(
            images.train, section["batch_size"], noise_std=noise_std, seed=seed
        )

    first_epoch = batches(0)  # a wrong batch size is refused before anything is written
    workdir = Workdir(workdir)
    workdir.prepare(config)
    workdir.describe(images)
    epoch, problems = checkpoints.restore(model, workdir)
    for problem in problems:
        print(f"{problem}; going back to the checkpoint before it")
    if epoch:
        print(f"{workdir}: going on after epoch {epoch}")
    else:
        x, cond = next(iter(first_epoch))
        model.bijector.calibrate(x, model.distribution.features(cond))
    history = History(workdir, epoch)
    checkpoint = Checkpoint(workdir, section["epochs"], section["keep_checkpoints"], history.best())
    if epoch < section["epochs"]:
        validation = None
        if len(images.validation.labels):
            validation = data.evaluation_batches(images.validation, section["batch_size"])
        try:
            model.fit(
                batches(epoch),
                initial_epoch=epoch,
                epochs=section["epochs"],
                validation_data=validation,
                callbacks=[Progress(epoch, section["epochs"], steps), history, checkpoint],
                verbose=0,
            )
        except NonFiniteError as error:
            kept = checkpoints.newest(workdir)
            raise NonFiniteError(
                f"{error} (training stopped; last good checkpoint: {kept or 'none yet'})"
            ) from None
    print(f"{workdir.model_path}: the model of epoch {checkpoint.best_epoch}, the best")
    return workdir.load_model()


def _check(section: Mapping[str, Any]) -> None:
    for field in ("epochs", "batch_size", "keep_checkpoints"):
        if section[field] < 1:
            raise UsageError(f"config.train.{field}: expected at least 1, got {section[field]}")
    for field in ("learning_rate", "clip_norm"):
        if not 0 < section[field] < math.inf:
            raise UsageError(f"config.train.{field}: expected more than 0, got {section[field]}")


def _optimizer(section: Mapping[str, Any], steps_per_epoch: int) -> keras.optimizers.Optimizer:
    rate = section["learning_rate"]
    milestones = sorted(section["milestones"])
    if milestones:
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(
            [epoch * steps_per_epoch for epoch in milestones],
            [rate * 0.1**k for k in range(len(milestones) + 1)],
        )
    return keras.optimizers.Adam(rate, global_clipnorm=section["clip_norm"])
