"""One training run."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import keras

from tfp_cinn import architectures, experiments
from tfp_cinn.errors import NonFiniteError, UsageError
from tfp_cinn.model import CINN
from tfp_cinn.training import checkpoints
from tfp_cinn.training.callbacks import Checkpoint, Metrics, Progress, TensorBoard
from tfp_cinn.training.interruption import Interrupted, StopOnSignal
from tfp_cinn.training.schedule import learning_rate
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
        Interrupted: on Ctrl-C or SIGTERM, after a checkpoint.
    """
    section = config["train"]
    _check(section)
    experiment = experiments.load(config)
    keras.utils.set_random_seed(section["seed"])
    model = architectures.build(data=experiment, **config["model"])
    model.compile(_optimizer(section), memory=section["memory"])

    def batches(epoch):
        return experiment.training_batches(section["batch_size"], section["seed"] + epoch)

    first_epoch = batches(0)  # a wrong batch size is refused before anything is written
    workdir = Workdir(workdir)
    workdir.prepare(config)
    workdir.describe(experiment.kind, experiment.facts)
    epoch, problems = checkpoints.restore(model, workdir)
    for problem in problems:
        print(f"{problem}; going back to the checkpoint before it")
    if epoch is None:
        epoch = 0
        x, cond = next(iter(first_epoch))
        model.bijector.calibrate(x, model.distribution.features(cond))
    else:
        print(f"{workdir}: going on after epoch {epoch}")
    if epoch < section["epochs"]:
        _fit(model, batches(epoch), experiment, section, workdir, epoch)
    best = workdir.load_model()
    experiment.draw_samples(best, workdir)
    print(f"{workdir.model_path}: the best epoch's model; samples: {workdir / 'samples.png'}")
    return best


def _fit(model, batches, experiment, section, workdir, epoch):
    epochs, steps = section["epochs"], section["steps_per_epoch"]
    if steps is None:
        count = batches.cardinality().numpy()
        known = count if count >= 0 else None
    else:
        batches, known = batches.repeat(), steps
    metrics = Metrics(workdir, epoch)
    stop = StopOnSignal()
    checkpoint = Checkpoint(workdir, epoch, epochs, section["keep_checkpoints"], metrics.best())
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda e, _: learning_rate(section, e)),
        Progress(epoch, epochs, known),
        metrics,
        checkpoint,
        TensorBoard(experiment, workdir, every=max(1, epochs // 10)),
        stop,
    ]
    try:
        model.fit(
            batches,
            initial_epoch=epoch,
            epochs=epochs,
            steps_per_epoch=steps,
            validation_data=experiment.validation_batches(section["batch_size"]),
            callbacks=callbacks,
            verbose=0,
        )
    except NonFiniteError as error:
        kept = checkpoints.newest(workdir)
        raise NonFiniteError(
            f"{error} (training stopped; last good checkpoint: {kept or 'none yet'})"
        ) from None
    except Interrupted as error:
        checkpoint.save_now()
        raise Interrupted(
            f"{error}; saved {checkpoints.newest(workdir)}; the same command goes on from there",
            error.status,
        ) from None
    finally:
        stop.give_back()


def _check(section: Mapping[str, Any]) -> None:
    for field in ("epochs", "batch_size", "keep_checkpoints"):
        if section[field] < 1:
            raise UsageError(f"config.train.{field}: expected at least 1, got {section[field]}")
    if section["steps_per_epoch"] is not None and section["steps_per_epoch"] < 1:
        raise UsageError(
            "config.train.steps_per_epoch: expected at least 1, or none for an epoch of all data, "
            f"got {section['steps_per_epoch']}"
        )
    for field in ("learning_rate", "milestone_decay", "final_decay", "epsilon"):
        if not 0 < section[field] < math.inf:
            raise UsageError(f"config.train.{field}: expected more than 0, got {section[field]}")
    if not 0 <= section["clip_norm"] < math.inf:
        raise UsageError(f"config.train.clip_norm: expected 0 or more, got {section['clip_norm']}")
    if not 0 <= section["seed"] < 2**32:
        raise UsageError(f"config.train.seed: expected 0 to 2^32 - 1, got {section['seed']}")


def _optimizer(section: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(
        section["learning_rate"],
        epsilon=section["epsilon"],
        global_clipnorm=section["clip_norm"] or None,
    )
