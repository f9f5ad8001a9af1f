"""Training callbacks: progress, metrics, checkpoints, TensorBoard."""

from __future__ import annotations

import contextlib
import csv
import math
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping

import keras
import tensorflow as tf
import tqdm

from tfp_cinn.errors import NonFiniteError, UsageError, WriteError
from tfp_cinn.plots import draw_curve
from tfp_cinn.tasks import Task
from tfp_cinn.training import checkpoints
from tfp_cinn.training.position import Position
from tfp_cinn.workdir import Workdir

__all__ = ["Checkpoint", "Metrics", "Progress", "TensorBoard"]

_LINE_EVERY_SECONDS = 10.0
_COMPLAIN_EVERY_SECONDS = 60.0


class Progress(keras.callbacks.Callback):
    """Shows a progress bar on a terminal, and a line per epoch (at most one in ten seconds)."""

    def __init__(self, position: Position, epochs: int, steps: int):
        super().__init__()
        self._epochs, self._steps, self._total = epochs, 0, epochs * steps
        self._before = position.moment.epoch * steps + position.moment.batch
        self._start, self._last_line = time.time(), 0.0
        self._bar = tqdm.tqdm(
            total=self._total,
            initial=self._before,
            unit="step",
            disable=not sys.stderr.isatty(),
        )

    def on_train_batch_end(self, batch, logs=None):
        """Move the bar."""
        self._steps += 1
        self._bar.update()
        if logs and not self._bar.disable:
            self._bar.set_postfix_str(_likelihood(logs, ""), refresh=False)

    def on_epoch_end(self, epoch, logs=None):
        """Print the epoch's line."""
        now = time.time()
        if now - self._last_line < _LINE_EVERY_SECONDS and epoch + 1 < self._epochs:
            return
        self._last_line = now
        left = self._total - self._before - self._steps
        left *= (now - self._start) / self._steps
        width = len(str(self._epochs))
        line = f"epoch {epoch + 1:{width}}/{self._epochs}  train {_likelihood(logs, '')}"
        if "val_nats_per_dim" in logs:
            line += f"  validation {_likelihood(logs, 'val_')}"
        tqdm.tqdm.write(f"{line}  {_duration(left)} left", file=sys.stdout)
        sys.stdout.flush()

    def on_train_end(self, logs=None):
        """Close the bar."""
        self._bar.close()


class Metrics(keras.callbacks.Callback):
    """Writes the metrics of every epoch to `metrics.csv` and plots them in `curve.png`.

    Adds to the model's metrics the seconds that the epoch's steps took, the examples per second,
    and the number of batches skipped so far, if any. A resumed run keeps the rows of earlier
    epochs.

    Args:
        workdir: the run.
        position: the position of training; must follow this one in the list of callbacks.
        batch_size: examples per step.
    """

    def __init__(self, workdir: Workdir, position: Position, batch_size: int):
        super().__init__()
        self._workdir, self._position, self._batch_size = workdir, position, batch_size
        rows, done = _read_rows(workdir / "metrics.csv"), position.moment.epoch
        self._rows = [row for row in rows if row["epoch"] <= done]
        self._complaints = _Complaints()

    def on_epoch_end(self, epoch, logs=None):
        """Add the epoch."""
        seconds, batches = self._position.moment.seconds, self._position.moment.batch
        if self._position.moment.skipped:
            logs["skipped"] = self._position.moment.skipped
        logs["seconds"] = round(seconds, 2)
        logs["examples_per_second"] = round(batches * self._batch_size / max(seconds, 1e-9), 1)
        figures = {key: float(value) for key, value in sorted(logs.items())}
        self._rows.append({"epoch": epoch + 1, **figures})
        with (
            self._complaints.instead_of_failing(),
            self._workdir.writing("metrics.csv") as scratch,
            open(scratch, "w") as file,
        ):
            writer = csv.DictWriter(file, list(self._rows[-1]), restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self._rows)

    def on_train_end(self, logs=None):
        """Draw the curve."""
        if self._rows:
            with self._workdir.writing("curve.png") as scratch:
                draw_curve(self._rows, scratch)


class Checkpoint(keras.callbacks.Callback):
    """Saves checkpoints, and the best epoch's model as `model.keras`.

    The best epoch has the best validation likelihood (training likelihood if nothing is held out).
    Both are saved every `every` seconds, and after the last epoch. If saving fails, a warning is
    printed, training continues, and saving is tried again after the same time; after the last epoch
    it is an error.

    Args:
        workdir: the run.
        position: the position of training; must precede this one in the list of callbacks.
        epochs: number of epochs of the run.
        every: seconds between checkpoints.
        keep: number of checkpoints to keep.
    """

    def __init__(self, workdir: Workdir, position: Position, epochs: int, every: float, keep: int):
        super().__init__()
        self._workdir, self._position, self._epochs = workdir, position, epochs
        self._every, self._keep = every, keep
        self._best, self._best_is_new, self._best_model = checkpoints.best(workdir), False, None
        self._last_save = time.time()
        self._complaints = _Complaints()

    def on_train_begin(self, logs=None):
        """Make a second model, without optimizer, to hold the best weights."""
        if self._best_model is not None:
            return
        config = keras.saving.serialize_keras_object(self.model)["config"]
        self._best_model = type(self.model).from_config(config)

    def on_train_batch_end(self, batch, logs=None):
        """Save if it is time."""
        if not self._position.all_steps_done:
            self._save_if_it_is_time()

    def on_epoch_end(self, epoch, logs=None):
        """Compare with the best epoch, and save if it is time."""
        value = _criterion(logs)
        if not math.isfinite(value):
            raise NonFiniteError(
                f"epoch {epoch + 1}: the validation likelihood is {value} nats/dim; lower the "
                "learning rate"
            )
        if value < self._best:
            self._best, self._best_is_new = value, True
            self._best_model.set_weights(self.model.get_weights())
        if epoch + 1 == self._epochs:
            self.save_now()
        else:
            self._save_if_it_is_time()

    def save_now(self) -> pathlib.Path:
        """Save the best model and a checkpoint; return the checkpoint."""
        # The model first: if killed in between, the next run repeats the epochs since.
        if self._best_is_new:
            checkpoints.save_best(self._best_model, self._workdir, self._best)
            self._best_is_new = False
        return checkpoints.save(self.model, self._workdir, self._position.moment, self._keep)

    def _save_if_it_is_time(self):
        if time.time() - self._last_save >= self._every:
            with self._complaints.instead_of_failing():
                self.save_now()
            self._last_save = time.time()


class TensorBoard(keras.callbacks.Callback):
    """Writes scalars of every epoch, and samples after some, for TensorBoard.

    The samples are also saved as the workdir's `samples.png`. Use it in a `with`.
    """

    def __init__(self, experiment: Task, workdir: Workdir, every: int):
        super().__init__()
        self._experiment, self._workdir, self._every = experiment, workdir, every
        self._writer = tf.summary.create_file_writer(str(workdir / "tensorboard"))
        self._complaints = _Complaints()

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(tf.errors.OpError):
            self._writer.close()

    def on_epoch_end(self, epoch, logs=None):
        """Write."""
        with self._complaints.instead_of_failing(), self._writer.as_default(step=epoch + 1):
            for name, value in logs.items():
                tf.summary.scalar(name, value)
            if (epoch + 1) % self._every == 0:
                self._experiment.draw_samples(self.model, self._workdir)
                picture = self._workdir / "samples.png"
                if picture.exists():  # the defaults of a task draw none
                    picture = tf.image.decode_png(picture.read_bytes())
                    tf.summary.image("samples", picture[tf.newaxis])
            self._writer.flush()


class _Complaints:
    """Warns of files that can't be written, at most once a minute, while training continues."""

    def __init__(self):
        self._last = -math.inf

    @contextlib.contextmanager
    def instead_of_failing(self) -> Iterator[None]:
        try:
            yield
        except (WriteError, tf.errors.OpError) as error:
            if time.time() - self._last >= _COMPLAIN_EVERY_SECONDS:
                self._last = time.time()
                line = " ".join(str(error).split())
                tqdm.tqdm.write(f"{line}; training goes on", file=sys.stderr)


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
