"""A callback that makes a run resumable: it counts steps, saves, and stops without loss."""

from __future__ import annotations

import contextlib
import math
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Iterator

import keras
import pandas as pd
import tensorflow as tf

from tfp_cinn.configs import TrainConfig
from tfp_cinn.errors import NonFiniteError, WriteError
from tfp_cinn.model import CINN
from tfp_cinn.replicas import Ballot
from tfp_cinn.training import checkpoints
from tfp_cinn.training.checkpoints import Moment, criterion
from tfp_cinn.workdir import Workdir

__all__ = ["Interrupted", "Resumable", "training_continues"]


class Interrupted(KeyboardInterrupt):
    """A run was stopped by Ctrl-C or SIGTERM, after a checkpoint.

    Attributes:
        status: the conventional exit status, 128 plus the signal's number.
    """

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


@contextlib.contextmanager
def training_continues() -> Iterator[None]:
    """Return a context in which writing may fail with a warning."""
    try:
        yield
    except (WriteError, tf.errors.OpError) as error:
        print(f"{' '.join(str(error).split())}; training continues", file=sys.stderr)


class Resumable(keras.callbacks.Callback):
    """Counts steps and epochs, saves checkpoints and the best model, and stops on a signal.

    The model of the best epoch is `model.keras` in the workdir. It and a checkpoint are saved every
    `checkpoint_seconds` and after the last epoch. If saving fails, a warning is printed, training
    continues, and saving is tried again after the same time; after the last epoch it is an error.

    Use it in a `with`: SIGINT and SIGTERM then raise `Interrupted` from `fit` after the step in
    which they arrive; a second signal acts as without. A signal during an epoch's last step or its
    validation takes effect after both. If any of several workers gets a signal, all stop after the
    next step.

    Args:
        model: the model, as it is at that moment.
        moment: where training begins.
        steps: steps per epoch.
        config: how to train.
        workdir: the run; None for a process that doesn't write.
        ballot: the vote of several workers.

    Attributes:
        moment: where training is.
    """

    def __init__(
        self,
        model: CINN,
        moment: Moment,
        steps: int,
        config: TrainConfig,
        workdir: Workdir | None,
        ballot: Ballot | None = None,
    ):
        super().__init__()
        self.moment = moment
        self._steps, self._config, self._workdir = steps, config, workdir
        self._ballot = ballot
        self._sums: list[tuple[keras.Variable, object]] = []
        self._began, self._last_save = 0.0, time.time()
        # A second model, without optimizer, holds the weights of the best epoch until it is saved.
        self._best_is_new, self._best_model = False, None
        if workdir is not None:
            config = keras.saving.serialize_keras_object(model)["config"]
            self._best_model = type(model).from_config(config)
        self._received: int | None = None
        self._previous: dict[int, object] = {}

    @property
    def finished(self) -> bool:
        """True if the run has all its epochs, or gets no better."""
        waited = self.moment.epoch - self.moment.best_epoch
        patience = self._config.patience
        return self.moment.epoch >= self._config.epochs or (
            patience is not None and waited >= patience
        )

    def save(self) -> pathlib.Path:
        """Save the best model and a checkpoint; return the checkpoint."""
        # The model first: if killed in between, the next run repeats the epochs since.
        if self._best_is_new:
            with self._workdir.writing(self._workdir.model_path.name) as scratch:
                keras.Model.save(self._best_model, scratch)  # ours would write aside once more
            self._best_is_new = False
        return checkpoints.save(self.model, self._workdir, self.moment)

    def on_train_begin(self, logs=None):
        """Keep the metrics of a running epoch, which `fit` resets."""
        if self.moment.batch:
            metrics = [v for metric in self.model.metrics for v in metric.variables]
            self._sums = [(variable, variable.numpy()) for variable in metrics]

    def on_epoch_begin(self, epoch, logs=None):
        """Restore the metrics, and note the time."""
        while self._sums:
            variable, value = self._sums.pop()
            variable.assign(value)
        self._began = time.time() - self.moment.seconds

    def on_train_batch_end(self, batch, logs=None):
        """Count the batch; stop or save if it is time."""
        now, seconds = self.moment, time.time() - self._began
        self.moment = now._replace(step=now.step + 1, batch=now.batch + 1, seconds=seconds)
        if self.moment.batch < self._steps:  # else the validation follows
            self._save_if_it_is_time()
            self._stop_if_asked()

    def on_epoch_end(self, epoch, logs=None):
        """Count the epoch; stop or save if it is time."""
        now = self.moment
        metrics = {"epoch": epoch + 1, **{key: float(logs[key]) for key in sorted(logs)}}
        if not math.isfinite(criterion(metrics)):
            raise NonFiniteError(
                f"epoch {epoch + 1}: the validation likelihood is {criterion(metrics)} nats/dim; "
                "lower the learning rate"
            )
        metrics["seconds"] = round(now.seconds, 2)
        examples = now.batch * self._config.batch_size
        metrics["examples_per_second"] = round(examples / max(now.seconds, 1e-9), 1)
        history = [*now.history, metrics]
        self.moment = now._replace(epoch=epoch + 1, batch=0, seconds=0.0, history=history)
        self.model.stop_training = self.finished
        if self._workdir is not None:
            if self.moment.best_epoch == epoch + 1:
                self._best_is_new = True
                self._best_model.set_weights(self.model.get_weights())
            with training_continues(), self._workdir.writing("metrics.csv") as scratch:
                pd.DataFrame(history).to_csv(scratch, index=False)
            if self.finished:
                self.save()
        self._save_if_it_is_time()
        self._stop_if_asked()

    def _save_if_it_is_time(self):
        due = time.time() - self._last_save >= self._config.checkpoint_seconds
        if self._workdir is not None and due and not self.finished:
            self._last_save = time.time()
            with training_continues():
                self.save()

    def __enter__(self) -> Resumable:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _receive(self, number, frame):
        self._received = number
        self.__exit__()

    def _stop_if_asked(self):
        if self._ballot is None:
            agreed = self._received is not None
        else:
            agreed = self._ballot.votes.numpy() > 0
            self._ballot.vote.assign(0.0 if self._received is None else 1.0)
        if agreed:
            number = self._received or signal.SIGTERM
            where = "" if self._received else ", which another worker received"
            raise Interrupted(f"stopped by {signal.Signals(number).name}{where}", 128 + number)
