"""One training run."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tfp_cinn import tasks
from tfp_cinn.configs import as_dict
from tfp_cinn.errors import NonFiniteError, UsageError, WriteError
from tfp_cinn.fused_adam import FusedAdam
from tfp_cinn.model import CINN
from tfp_cinn.tasks import Task
from tfp_cinn.training import checkpoints
from tfp_cinn.training.callbacks import Checkpoint, Metrics, Progress, TensorBoard
from tfp_cinn.training.checkpoints import Moment
from tfp_cinn.training.checks import check
from tfp_cinn.training.interruption import Interrupted, StopOnSignal
from tfp_cinn.training.position import Position, RestOfEpoch
from tfp_cinn.training.schedule import learning_rate
from tfp_cinn.training.skipping import Skipping
from tfp_cinn.training.strategy import Replicas, WorkerLostError
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
    section = config["train"]
    check(section)
    if section["shards"] > 1:
        with contextlib.suppress(RuntimeError):  # too late once TensorFlow has computed anything
            tf.config.threading.set_intra_op_parallelism_threads(1)
    replicas = Replicas(strategy, wait)
    replicas.check(section)
    with replicas.one_fate():
        replicas.check_config(without_paths(config))
    experiment = tasks.load(config)
    if section["deterministic"]:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(section["seed"])
    with replicas.one_fate(), replicas.scope():
        model = experiment.build(config["model"])
        model.compile(_optimizer(section), shards=section["shards"], memory=section["memory"])
        model.optimizer.build(model.trainable_variables)
    steps = _steps_per_epoch(experiment, section)  # a wrong batch size, before anything is written
    with replicas.one_fate():
        if not replicas.is_chief:
            moment = Moment(**replicas.same_start(model))
            if moment.epoch < section["epochs"]:
                _fit(model, experiment, section, steps, None, moment, replicas)
            replicas.same_end(model)
            return model
        with workdir.locked():
            workdir.prepare(config)
            workdir.describe(experiment.name, experiment.description)
            moment = _begin(model, experiment, section, steps, workdir)
            replicas.same_start(model, moment._asdict())
            if moment.epoch < section["epochs"]:
                _fit(model, experiment, section, steps, workdir, moment, replicas)
            best = workdir.load_model()
            try:
                experiment.draw_samples(best, workdir)
            except tf.errors.OpError as error:
                raise UsageError(f"{_unreadable(error)}; the model is ready") from None
            replicas.same_end(model)
    print(f"{workdir.model_path}: the best epoch's model; samples: {workdir / 'samples.png'}")
    return best


def _begin(
    model: CINN, experiment: Task, section: Mapping[str, Any], steps: int, workdir: Workdir
) -> Moment:
    """Restore the run, or calibrate a new model; return where the run is."""
    moment, problems = checkpoints.restore(model, workdir)
    for problem in problems:
        print(f"{problem}; going back to the checkpoint before it")
    data = {"seed": section["seed"], "batch_size": section["batch_size"], "steps": steps}
    if moment is None:
        if workdir.model_path.exists() and math.isinf(checkpoints.best(workdir)):
            raise UsageError(
                f"{workdir.model_path}: of weights that weren't trained here, such as imported "
                "ones; training would replace it, choose another workdir or remove it"
            )
        x, cond = next(iter(_batches(experiment, section, steps, Moment())))
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
    experiment: Task,
    section: Mapping[str, Any],
    steps: int,
    workdir: Workdir | None,
    moment: Moment,
    replicas: Replicas,
) -> None:
    """Train to the end; write into the workdir, if there is one."""
    epochs = section["epochs"]
    position = Position(moment, steps)
    validation = experiment.validation_batches(section["batch_size"])
    length = -1 if validation is None else int(validation.cardinality())
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopOnSignal(position, replicas.ballot))
        rate = keras.callbacks.LearningRateScheduler(lambda epoch, _: learning_rate(section, epoch))
        callbacks, checkpoint = [rate, position, stop], None
        if workdir is not None:
            every, keep = section["checkpoint_seconds"], section["keep_checkpoints"]
            checkpoint = Checkpoint(workdir, position, epochs, every, keep)
            board = stack.enter_context(TensorBoard(experiment, workdir, max(1, epochs // 10)))
            progress = Progress(position, epochs, steps)
            metrics = Metrics(workdir, position, section["batch_size"])
            callbacks = [rate, progress, metrics, position, checkpoint, board, stop]
        skipping = Skipping(position, section["max_skipped"] if section["on_nan"] == "skip" else 0)
        try:
            while skipping.again:
                with skipping, replicas.one_fate():
                    moment = position.moment
                    rest = [RestOfEpoch(model, steps - moment.batch)] if moment.batch else []
                    model.fit(
                        replicas.split(_batches(experiment, section, steps, moment)),
                        initial_epoch=moment.epoch,
                        epochs=epochs,
                        steps_per_epoch=steps,
                        validation_data=replicas.split(validation),
                        validation_steps=length if length >= 0 else None,
                        callbacks=[*rest, *callbacks],
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
        except tf.errors.OpError as error:
            raise UsageError(f"{_unreadable(error)}{_saved(checkpoint, workdir)}") from None
        except Interrupted as error:
            raise Interrupted(f"{error}{_saved(checkpoint, workdir)}", error.status) from None


def _saved(checkpoint: Checkpoint | None, workdir: Workdir | None) -> str:
    """Save, if this process is the chief, and return what to do next."""
    if checkpoint is None:
        return "; the chief saves"
    try:
        return f"; saved {checkpoint.save_now()}; the same command goes on from there"
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
    return f"the data can't be read any more ({reason}); put right what changed"


def _last_good(workdir: Workdir | None) -> str:
    if workdir is None:
        return ""
    return f"; last good checkpoint: {checkpoints.newest(workdir) or 'none yet'}"


def _steps_per_epoch(experiment: Task, section: Mapping[str, Any]) -> int:
    batches = experiment.training_batches(section["batch_size"], section["seed"], 0)
    length = int(batches.cardinality())
    if length < 0 and next(iter(batches), None) is None:
        raise UsageError(
            f"config.train.batch_size: {section['batch_size']} is more than there are training "
            "examples; lower it"
        )
    if section["steps_per_epoch"] is None and length < 0:
        raise UsageError(
            "config.train.steps_per_epoch: expected a number, since the number of examples is "
            "unknown; the number of photographs / batch size makes about an epoch"
        )
    return section["steps_per_epoch"] or length


def _batches(
    experiment: Task, section: Mapping[str, Any], steps: int, moment: Moment
) -> tf.data.Dataset:
    """Return endless batches, starting at a moment of the run."""

    def epoch(number):
        return experiment.training_batches(section["batch_size"], section["seed"], number)

    first, done = moment.epoch, moment.batch + moment.skipped
    if section["steps_per_epoch"] is not None:  # then epochs of the run and of the data differ
        first, done = 0, done + moment.epoch * steps
    length = int(epoch(0).cardinality())
    if length < 0 and done:
        length = int(epoch(0).reduce(0, lambda count, _: count + 1))
    if length > 0:
        first, done = first + done // length, done % length
    skipped = tf.constant(done, tf.int64)
    return (
        tf.data.Dataset.range(first, tf.int64.max)
        .flat_map(lambda number: epoch(number).skip(tf.where(number == first, skipped, 0)))
        .prefetch(tf.data.AUTOTUNE)
    )


def _optimizer(section: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    return FusedAdam(
        section["learning_rate"],
        epsilon=section["epsilon"],
        global_clipnorm=section["clip_norm"] or None,
    )
