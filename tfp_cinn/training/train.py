"""One training run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tfp_cinn import tasks
from tfp_cinn.configs import TrainConfig, as_dict
from tfp_cinn.errors import NonFiniteError, UsageError, WriteError
from tfp_cinn.fused_adam import FusedAdam
from tfp_cinn.model import CINN
from tfp_cinn.plots import draw_curve
from tfp_cinn.tasks import Task
from tfp_cinn.training import checkpoints
from tfp_cinn.training.checkpoints import Moment
from tfp_cinn.training.resumable import Interrupted, Resumable
from tfp_cinn.training.strategy import Replicas, WorkerLostError
from tfp_cinn.training.tensorboard import TensorBoard
from tfp_cinn.workdir import Workdir, without_paths

__all__ = ["train"]


def train(
    config: Mapping[str, Any],
    workdir: str | os.PathLike,
    strategy: str = "none",
    wait: float = 300.0,
) -> CINN:
    """Train the model of a config, or resume from the workdir's last checkpoint.

    A resumed run ends as if it had never stopped; docs/training.md says how exactly.

    Args:
        config: with the fields of `default_config`, a ConfigDict or nested dicts.
        workdir: the folder for all results; see `Workdir`. Of several workers, the chief alone
            reads and writes it.
        strategy: on which devices to train; see `Replicas`.
        wait: seconds to wait until all workers are there.

    Returns:
        The model with the weights of its best epoch, as saved in the workdir's `model.keras`; on
        workers other than the chief, the model of the last step.

    Raises:
        UsageError: if the config, the data or the workdir is unsuitable or becomes so.
        NonFiniteError: if the loss becomes NaN or infinite. The checkpoints are kept.
        Interrupted: on Ctrl-C or SIGTERM, after a checkpoint.
        WorkerLostError: if another worker has ended. The checkpoints are kept.
    """
    config, workdir = as_dict(config), Workdir(workdir)
    settings = TrainConfig.of(config["train"])
    if settings.shards > 1:
        with contextlib.suppress(RuntimeError):  # too late once TensorFlow has computed anything
            tf.config.threading.set_intra_op_parallelism_threads(1)
    replicas = Replicas(strategy, wait)
    replicas.check(settings)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    task = tasks.load(config)
    keras.utils.set_random_seed(settings.seed)
    with replicas.one_fate():
        replicas.compare(json.dumps(without_paths(config), sort_keys=True).encode(), "config")
        model = _build(task, config, settings, replicas)
        steps = _steps_per_epoch(task, settings)  # or an error, before anything is written
        with workdir.locked() if replicas.is_chief else contextlib.nullcontext():
            moment = Moment()
            if replicas.is_chief:
                workdir.prepare(config)
                _describe(task, settings, workdir)
                moment = _begin(model, task, settings, steps, workdir)
            moment = replicas.same_start(model, moment)
            writes_to = workdir if replicas.is_chief else None
            moment = _fit(model, task, settings, steps, writes_to, moment, replicas)
            replicas.compare(
                b"".join(w.numpy().tobytes() for w in model.trainable_weights), "model"
            )
            return _finish(task, workdir, moment) if replicas.is_chief else model


def _build(
    task: Task, config: Mapping[str, Any], settings: TrainConfig, replicas: Replicas
) -> CINN:
    with replicas.scope():
        model = task.build(config["model"])
        optimizer = FusedAdam(
            settings.learning_rate,
            epsilon=settings.epsilon,
            global_clipnorm=settings.clip_norm or None,
        )
        model.compile(optimizer, shards=settings.shards, memory=settings.memory)
        model.optimizer.build(model.trainable_variables)
    return model


def _describe(task: Task, config: TrainConfig, workdir: Workdir) -> None:
    """Describe the task, and once, when the run begins, the range of its conditions."""
    description = dict(task.description)
    if (workdir / "task.json").exists():
        known = workdir.description().get("condition_range")
    else:
        try:
            known = task.condition_range(config.batch_size, config.seed)
        except tf.errors.OpError as error:
            raise UsageError(f"{_unreadable(error)}") from None
    if known is not None:
        description["condition_range"] = known
    workdir.describe(task.name, description)


def _begin(model: CINN, task: Task, config: TrainConfig, steps: int, workdir: Workdir) -> Moment:
    """Restore the run, or begin a new one; return where it is."""
    moment = checkpoints.restore(model, workdir)
    data = {"seed": config.seed, "batch_size": config.batch_size, "steps": steps}
    if moment is None:
        if workdir.model_path.exists():
            raise UsageError(
                f"{workdir.model_path}: holds weights that weren't trained here (imported "
                "ones, say), which training would replace; choose another workdir or remove it"
            )
        x, cond = next(iter(task.training_batches(config.batch_size, config.seed, 0)))
        model.bijector.calibrate(x, model.distribution.features(cond))
        moment = Moment(data=data)
        checkpoints.save(model, workdir, moment)
        return moment
    if moment.batch and moment.data != data:
        changed = [f"{k} was {v}" for k, v in moment.data.items() if data[k] != v]
        print(f"{workdir}: epoch {moment.epoch + 1} begins again, since {' and '.join(changed)}")
        moment = moment._replace(batch=0, seconds=0.0)
    where = f", batch {moment.batch} of the next" if moment.batch else ""
    print(f"{workdir}: resuming after epoch {moment.epoch}{where}")
    return moment._replace(data=data)


def _fit(
    model: CINN,
    task: Task,
    config: TrainConfig,
    steps: int,
    workdir: Workdir | None,
    moment: Moment,
    replicas: Replicas,
) -> Moment:
    """Train to the end; write into the workdir, if there is one."""
    validation = task.validation_batches(config.batch_size)
    length = -1 if validation is None else int(validation.cardinality())
    run = Resumable(model, moment, steps, config, workdir, replicas.ballot)
    callbacks = [keras.callbacks.LearningRateScheduler(lambda epoch, _: config.rate(epoch)), run]
    if workdir is not None:
        callbacks.insert(1, TensorBoard(task, workdir, config.epochs))
    try:
        with run, replicas.one_fate():
            while not run.finished:  # a broken epoch is ended by itself
                moment = run.moment
                model.fit(
                    replicas.split(_batches(task, config, steps, moment)),
                    initial_epoch=moment.epoch,
                    epochs=moment.epoch + 1 if moment.batch else config.epochs,
                    steps_per_epoch=steps - moment.batch,
                    validation_data=replicas.split(validation),
                    validation_steps=length if length >= 0 else None,
                    callbacks=callbacks,
                    verbose=0 if workdir is None else 1 if sys.stdout.isatty() else 2,
                )
            return run.moment
    except tf.errors.OpError as error:
        raise UsageError(f"{_unreadable(error)}{_saved(run, workdir)}") from None
    except Interrupted as error:
        raise Interrupted(f"{error}{_saved(run, workdir)}", error.status) from None
    except NonFiniteError as error:
        raise NonFiniteError(f"{error}; training stopped{_last_good(workdir)}") from None
    except (WriteError, WorkerLostError) as error:
        raise type(error)(
            f"{error}; training stopped{_last_good(workdir)}; fix that, and the same command "
            "resumes from there"
        ) from None


def _finish(task: Task, workdir: Workdir, moment: Moment) -> CINN:
    """Draw the history, and samples of the best epoch's model; return it."""
    with workdir.writing("curve.png") as scratch:
        draw_curve(moment.history, scratch)
    best = workdir.load_model()
    try:
        task.draw_samples(best, workdir)
    except tf.errors.OpError as error:
        raise UsageError(f"{_unreadable(error)}; the model is ready") from None
    print(f"{workdir.model_path}: the best epoch's model; samples: {workdir / 'samples.png'}")
    return best


def _saved(run: Resumable, workdir: Workdir | None) -> str:
    """Save, if this process is the chief, and return what to do next."""
    if workdir is None:
        return "; the chief saves"
    try:
        return f"; saved {run.save()}; the same command resumes from there"
    except WriteError as error:
        return f"; {error}{_last_good(workdir)}"


def _unreadable(error: tf.errors.OpError) -> str:
    """Return what went wrong in the data pipeline, such as a missing or changed file.

    Raises:
        tf.errors.OpError: if the error has another source.
    """
    if "IteratorGetNext" not in str(error):
        raise error
    reason = error.message.partition("[[")[0].strip().splitlines()[-1]
    reason = re.sub(
        r"\{\{.*?\}\} *|Error in user-defined .* iterator: [^ ]* |tfp_cinn[\w.]*: ", "", reason
    )[:300]
    return f"the data can't be read any more ({reason}); restore what changed"


def _last_good(workdir: Workdir | None) -> str:
    if workdir is None:
        return ""
    return f"; last good checkpoint: {checkpoints.newest(workdir) or 'none yet'}"


def _steps_per_epoch(task: Task, config: TrainConfig) -> int:
    batches = task.training_batches(config.batch_size, config.seed, 0)
    length = int(batches.cardinality())
    if length < 0 and next(iter(batches), None) is None:
        raise UsageError(
            f"config.train.batch_size: {config.batch_size} is more than there are training "
            "examples; lower it"
        )
    if config.steps_per_epoch is None and length < 0:
        raise UsageError(
            "config.train.steps_per_epoch: expected a number, since the number of examples is "
            "unknown; the number of photographs / batch size makes about an epoch"
        )
    return config.steps_per_epoch or length


def _batches(task: Task, config: TrainConfig, steps: int, moment: Moment) -> tf.data.Dataset:
    """Return endless batches, starting at a moment of the run."""

    def epoch(number):
        return task.training_batches(config.batch_size, config.seed, number)

    first, done = moment.epoch, moment.batch
    if config.steps_per_epoch is not None:  # then epochs of the run and of the data differ
        first, done = 0, done + moment.epoch * steps
    if done:
        length = int(epoch(0).cardinality())
        if length < 0:
            length = int(epoch(0).reduce(0, lambda count, _: count + 1))
        first, done = first + done // length, done % length
    skipped = tf.constant(done, tf.int64)
    return (
        tf.data.Dataset.range(first, tf.int64.max)
        .flat_map(lambda number: epoch(number).skip(tf.where(number == first, skipped, 0)))
        .prefetch(tf.data.AUTOTUNE)
    )
