"""One training run."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn import architectures, experiments
from tfp_cinn.errors import NonFiniteError, UsageError, WriteError
from tfp_cinn.experiments import Experiment
from tfp_cinn.model import CINN
from tfp_cinn.training import checkpoints
from tfp_cinn.training.callbacks import Checkpoint, Metrics, Progress, TensorBoard
from tfp_cinn.training.checkpoints import Moment
from tfp_cinn.training.interruption import Interrupted, StopOnSignal
from tfp_cinn.training.position import Position, RestOfEpoch
from tfp_cinn.training.schedule import learning_rate
from tfp_cinn.training.strategy import Replicas, WorkerLostError
from tfp_cinn.workdir import Workdir, without_paths

__all__ = ["train"]


def train(
    config: Mapping[str, Any],
    workdir: str | os.PathLike,
    strategy: str = "none",
    wait: float = 300.0,
) -> CINN:
    """Trains what a config describes, or goes on with it from the workdir's last checkpoint.

    A run that goes on ends as one that never stopped; docs/training.md says how exactly.

    Args:
        config: nested dicts with the fields of `default_config`.
        workdir: the folder for all results; see `Workdir`. Of several workers, the chief alone
            reads and writes it.
        strategy: on which devices to train; see `Replicas`.
        wait: seconds to wait until all workers are there.

    Returns:
        The model with the weights of its best epoch, as saved in the workdir's `model.keras`; on
        workers other than the chief, the model as it was trained last.

    Raises:
        UsageError: if the config, the data or the workdir don't serve, or cease to.
        NonFiniteError: if the loss turns NaN or infinite. The checkpoints are kept.
        Interrupted: on Ctrl-C or SIGTERM, after a checkpoint.
        WorkerLostError: if another worker has ended. The checkpoints are kept.
    """
    section = config["train"]
    _check(section)
    replicas = Replicas(strategy, wait)
    replicas.check_batch_size(section["batch_size"])
    with replicas.one_fate():
        replicas.check_config(without_paths(config))
    experiment = experiments.load(config)
    keras.utils.set_random_seed(section["seed"])
    workdir = Workdir(workdir)
    with replicas.one_fate(), replicas.scope():
        model = architectures.build(data=experiment, **config["model"])
        model.compile(_optimizer(section))
        model.optimizer.build(model.trainable_variables)
    steps = _steps_per_epoch(experiment, section)  # a wrong batch size, before anything is written
    with replicas.one_fate():
        if not replicas.is_chief:
            start = replicas.same_start(model, np.zeros(4))
            moment = Moment(*map(int, start[:3]), float(start[3]))
            if moment.epoch < section["epochs"]:
                _fit(model, experiment, section, steps, None, moment, replicas)
            replicas.same_end(model)
            return model
        with workdir.locked():
            workdir.prepare(config)
            workdir.describe(experiment.kind, experiment.facts)
            moment = _begin(model, experiment, section, steps, workdir)
            replicas.same_start(model, np.array(moment[:4]))
            if moment.epoch < section["epochs"]:
                _fit(model, experiment, section, steps, workdir, moment, replicas)
            best = workdir.load_model()
            experiment.draw_samples(best, workdir)
            replicas.same_end(model)
    print(f"{workdir.model_path}: the best epoch's model; samples: {workdir / 'samples.png'}")
    return best


def _begin(
    model: CINN, experiment: Experiment, section: Mapping[str, Any], steps: int, workdir: Workdir
) -> Moment:
    """Restores the run, or calibrates a new model; returns where the run is."""
    moment, problems = checkpoints.restore(model, workdir)
    for problem in problems:
        print(f"{problem}; going back to the checkpoint before it")
    data = {"seed": section["seed"], "batch_size": section["batch_size"], "steps": steps}
    if moment is None:
        x, cond = next(iter(_batches(experiment, section, 0, 0)))
        model.bijector.calibrate(x, model.distribution.features(cond))
        return Moment(data=data)
    if moment.batch and moment.data != data:
        changed = [
            f"{key} was {moment.data.get(key)}" for key in data if moment.data.get(key) != data[key]
        ]
        print(f"{workdir}: epoch {moment.epoch + 1} begins again, since {' and '.join(changed)}")
        moment = moment._replace(batch=0, seconds=0.0)
    where = f", batch {moment.batch} of the next" if moment.batch else ""
    print(f"{workdir}: going on after epoch {moment.epoch}{where}")
    return moment._replace(data=data)


def _fit(
    model: CINN,
    experiment: Experiment,
    section: Mapping[str, Any],
    steps: int,
    workdir: Workdir | None,
    moment: Moment,
    replicas: Replicas,
) -> None:
    """Trains to the end; writes into the workdir, if there is one."""
    epochs = section["epochs"]
    position = Position(moment, steps)
    validation = experiment.validation_batches(section["batch_size"])
    length = -1 if validation is None else int(validation.cardinality())
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopOnSignal(position, replicas.ballot))
        rate = keras.callbacks.LearningRateScheduler(lambda epoch, _: learning_rate(section, epoch))
        callbacks = [rate, position, stop]
        if workdir is not None:
            checkpoint = Checkpoint(
                workdir,
                position,
                epochs,
                section["checkpoint_seconds"],
                section["keep_checkpoints"],
            )
            board = stack.enter_context(TensorBoard(experiment, workdir, max(1, epochs // 10)))
            progress = Progress(position, epochs, steps)
            metrics = Metrics(workdir, position, section["batch_size"])
            callbacks = [rate, progress, metrics, position, checkpoint, board, stop]
        if moment.batch:
            callbacks.insert(0, RestOfEpoch(model, steps - moment.batch))
        try:
            with replicas.one_fate():
                model.fit(
                    replicas.split(_batches(experiment, section, moment.epoch, moment.batch)),
                    initial_epoch=moment.epoch,
                    epochs=epochs,
                    steps_per_epoch=steps,
                    validation_data=replicas.split(validation),
                    validation_steps=length if length >= 0 else None,
                    callbacks=callbacks,
                    verbose=0,
                )
        except NonFiniteError as error:
            raise NonFiniteError(f"{error} (training stopped{_last_good(workdir)})") from None
        except WriteError as error:
            raise WriteError(
                f"{error}; training stopped{_last_good(workdir)}; make room, and the same "
                "command goes on from there"
            ) from None
        except WorkerLostError as error:
            raise WorkerLostError(
                f"{error}{_last_good(workdir)}; start all workers again with the same command"
            ) from None
        except Interrupted as error:
            if workdir is None:
                raise
            raise Interrupted(f"{error}; {_saved(checkpoint, workdir)}", error.status) from None


def _saved(checkpoint: Checkpoint, workdir: Workdir) -> str:
    """Saves, and says what to do next."""
    try:
        return f"saved {checkpoint.save_now()}; the same command goes on from there"
    except WriteError as error:
        return f"{error}{_last_good(workdir)}"


def _last_good(workdir: Workdir | None) -> str:
    if workdir is None:
        return ""
    return f"; last good checkpoint: {checkpoints.newest(workdir) or 'none yet'}"


def _steps_per_epoch(experiment: Experiment, section: Mapping[str, Any]) -> int:
    batches = experiment.training_batches(section["batch_size"], section["seed"])
    length = int(batches.cardinality())
    if length < 0 and next(iter(batches), None) is None:
        raise UsageError(
            f"config.train.batch_size: {section['batch_size']} is more than there are training "
            "examples; lower it"
        )
    if section["steps_per_epoch"] is None and length < 0:
        raise UsageError(
            "config.train.steps_per_epoch: expected a number, since nobody knows how many examples "
            "these data have; about the number of photographs / batch size makes an epoch"
        )
    return section["steps_per_epoch"] or length


def _batches(
    experiment: Experiment, section: Mapping[str, Any], epoch: int, batch: int
) -> tf.data.Dataset:
    """Batches without end, from a batch of an epoch of the run on."""
    arguments = section["batch_size"], section["seed"]
    if section["steps_per_epoch"] is not None:
        # Then epochs of the run and of the data differ.
        once = experiment.training_batches(*arguments)
        before = epoch * section["steps_per_epoch"] + batch
        length = int(once.cardinality())
        if length < 0:
            length = int(once.take(before).reduce(0, lambda count, _: count + 1))
            length = max(length, 1) if length < before else before + 1
        epoch, batch = divmod(before, length)
    return experiment.training_batches(*arguments, start=(epoch, batch))


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
