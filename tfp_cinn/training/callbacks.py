"""What happens during training beside the steps: progress, metrics, checkpoints."""

from __future__ import annotations

import csv
import math
import pathlib
import sys
import time
from collections.abc import Mapping

import keras
import tensorflow as tf
import tqdm

from tfp_cinn.errors import NonFiniteError, UsageError
from tfp_cinn.evaluation import draw_curve
from tfp_cinn.experiments import Experiment
from tfp_cinn.training import checkpoints
from tfp_cinn.workdir import Workdir

__all__ = ["Checkpoint", "Metrics", "Progress", "TensorBoard"]

_LINE_EVERY_SECONDS = 10.0
_CHECKPOINT_EVERY_SECONDS = 30.0


class Progress(keras.callbacks.Callback):
    """A bar over all steps on a terminal, and a line an epoch (at most one in ten seconds).

    Without a number of steps, which a stream of photographs doesn't have, the bar only counts.
    """

    def __init__(self, initial_epoch: int, epochs: int, steps_per_epoch: int | None):
        super().__init__()
        self._epochs = epochs
        self._bar = tqdm.tqdm(
            total=steps_per_epoch and epochs * steps_per_epoch,
            initial=initial_epoch * (steps_per_epoch or 0),
            unit="step",
            disable=not sys.stderr.isatty(),
        )
        self._initial_epoch, self._start, self._last_line = initial_epoch, time.time(), 0.0

    def on_train_batch_end(self, batch, logs=None):
        """Moves the bar."""
        self._bar.update()
        if logs and not self._bar.disable:
            self._bar.set_postfix_str(_likelihood(logs, ""), refresh=False)

    def on_epoch_end(self, epoch, logs=None):
        """Prints the epoch's line."""
        now, done = time.time(), epoch + 1 - self._initial_epoch
        if now - self._last_line < _LINE_EVERY_SECONDS and done > 1 and epoch + 1 < self._epochs:
            return
        self._last_line = now
        left = (now - self._start) / done * (self._epochs - epoch - 1)
        width = len(str(self._epochs))
        line = f"epoch {epoch + 1:{width}}/{self._epochs}  train {_likelihood(logs, '')}"
        if "val_nats_per_dim" in logs:
            line += f"  validation {_likelihood(logs, 'val_')}"
        tqdm.tqdm.write(f"{line}  {_duration(left)} left", file=sys.stdout)
        sys.stdout.flush()

    def on_train_end(self, logs=None):
        """Closes the bar."""
        self._bar.close()


class Metrics(keras.callbacks.Callback):
    """Writes the figures of every epoch to `metrics.csv` and draws them in `curve.png`.

    A continued run keeps the rows of the epochs before the one it goes on from.
    """

    def __init__(self, workdir: Workdir, initial_epoch: int):
        super().__init__()
        self._workdir = workdir
        self._rows = [r for r in _read_rows(workdir / "metrics.csv") if r["epoch"] <= initial_epoch]
        self._began = 0.0

    def best(self) -> float:
        """Nats/dim of the best epoch so far; infinity if its model isn't there."""
        if not self._workdir.model_path.exists():
            return math.inf
        return min(filter(math.isfinite, map(_criterion, self._rows)), default=math.inf)

    def on_epoch_begin(self, epoch, logs=None):
        """Notes the time."""
        self._began = time.time()

    def on_epoch_end(self, epoch, logs=None):
        """Adds the epoch."""
        seconds = round(time.time() - self._began, 2)
        figures = {key: float(value) for key, value in sorted(logs.items())}
        self._rows.append({"epoch": epoch + 1, "seconds": seconds, **figures})
        with self._workdir.writing("metrics.csv") as scratch, open(scratch, "w") as file:
            writer = csv.DictWriter(file, list(self._rows[-1]), restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self._rows)

    def on_train_end(self, logs=None):
        """Draws the curve."""
        if self._rows:
            with self._workdir.writing("curve.png") as scratch:
                draw_curve(self._rows, scratch)


class Checkpoint(keras.callbacks.Callback):
    """Saves checkpoints, and the best epoch's model as `model.keras`.

    The best epoch is that of the best validation likelihood (training likelihood, where nothing is
    held out). Both are saved after an epoch, but not more often than every 30 seconds.
    """

    def __init__(self, workdir: Workdir, initial_epoch: int, epochs: int, keep: int, best: float):
        super().__init__()
        self._workdir, self._epochs, self._keep = workdir, epochs, keep
        self._best, self._best_is_new, self._best_model = best, False, None
        self._done = initial_epoch
        self._last_save = time.time()

    def on_train_begin(self, logs=None):
        """Makes a second model, without optimizer, to hold the best weights."""
        config = keras.saving.serialize_keras_object(self.model)["config"]
        self._best_model = type(self.model).from_config(config)

    def on_epoch_end(self, epoch, logs=None):
        """Compares with the best epoch, and saves if it is time."""
        self._done = epoch + 1
        value = _criterion(logs)
        if not math.isfinite(value):
            raise NonFiniteError(
                f"epoch {epoch + 1}: the validation likelihood is {value} nats/dim; lower the "
                "learning rate"
            )
        if value < self._best:
            self._best, self._best_is_new = value, True
            self._best_model.set_weights(self.model.get_weights())
        if time.time() - self._last_save >= _CHECKPOINT_EVERY_SECONDS or epoch + 1 == self._epochs:
            self.save_now()

    def save_now(self):
        """Saves the best model and a checkpoint that counts the epochs completed."""
        # The model first: killed in between, the next run does the epochs since again.
        if self._best_is_new:
            with self._workdir.writing(self._workdir.model_path.name) as scratch:
                self._best_model.save(scratch)
            self._best_is_new = False
        checkpoints.save(self.model, self._workdir, self._done, self._keep)
        self._last_save = time.time()


class TensorBoard(keras.callbacks.Callback):
    """Writes scalars of every epoch, and samples after some, for TensorBoard.

    The samples are also the workdir's `samples.png`, so that they can be watched without it.
    """

    def __init__(self, experiment: Experiment, workdir: Workdir, every: int):
        super().__init__()
        self._experiment, self._workdir, self._every = experiment, workdir, every
        self._writer = tf.summary.create_file_writer(str(workdir / "tensorboard"))

    def on_epoch_end(self, epoch, logs=None):
        """Writes."""
        with self._writer.as_default(step=epoch + 1):
            for name, value in logs.items():
                tf.summary.scalar(name, value)
            if (epoch + 1) % self._every == 0:
                self._experiment.draw_samples(self.model, self._workdir)
                picture = (self._workdir / "samples.png").read_bytes()
                tf.summary.image("samples", tf.image.decode_png(picture)[tf.newaxis])
        self._writer.flush()

    def on_train_end(self, logs=None):
        """Closes the files."""
        self._writer.close()


def _criterion(figures: Mapping[str, float]) -> float:
    return figures.get("val_nats_per_dim", figures["nats_per_dim"])


def _likelihood(logs, prefix):
    nats, bits = logs[f"{prefix}nats_per_dim"], logs[f"{prefix}bits_per_dim"]
    return f"{nats:.4f} nats/dim = {bits:.4f} bits/dim"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"


def _read_rows(path: pathlib.Path) -> list[dict[str, float]]:
    if not path.exists():
        return []
    try:
        return _parse_rows(path)
    except (KeyError, ValueError) as error:
        raise UsageError(f"{path}: damaged ({error}); remove it to go on without it") from None


def _parse_rows(path: pathlib.Path) -> list[dict[str, float]]:
    with open(path) as file:
        return [
            {key: float(value) for key, value in row.items() if value}
            | {"epoch": int(row["epoch"])}
            for row in csv.DictReader(file)
        ]
