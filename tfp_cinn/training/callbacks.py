"""Callbacks that show training: a progress bar, a line per epoch, TensorBoard."""

from __future__ import annotations

import sys
import time

import keras
import tensorflow as tf
import tqdm

from tfp_cinn.tasks import Task
from tfp_cinn.training.checkpoints import Moment
from tfp_cinn.training.resumable import WriteWarnings
from tfp_cinn.workdir import Workdir

__all__ = ["Progress", "TensorBoard"]

_LINE_EVERY_SECONDS = 10.0


class Progress(keras.callbacks.Callback):
    """Shows a progress bar on a terminal, and a line per epoch (at most one in ten seconds)."""

    def __init__(self, moment: Moment, epochs: int, steps: int):
        super().__init__()
        self._epochs, self._steps = epochs, 0
        self._start, self._last_line = time.time(), 0.0
        total, done = epochs * steps, moment.epoch * steps + moment.batch
        self._steps_left = total - done
        quiet = not sys.stderr.isatty()
        self._bar = tqdm.tqdm(total=total, initial=done, unit="step", disable=quiet)

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
        left = (self._steps_left - self._steps) * (now - self._start) / self._steps
        line = f"epoch {epoch + 1:{len(str(self._epochs))}}/{self._epochs}"
        line += f"  train {_likelihood(logs, '')}"
        if "val_nats_per_dim" in logs:
            line += f"  validation {_likelihood(logs, 'val_')}"
        tqdm.tqdm.write(f"{line}  {_duration(left)} left", file=sys.stdout)
        sys.stdout.flush()


class TensorBoard(keras.callbacks.Callback):
    """Writes scalars of every epoch, and samples after every tenth of the run, for TensorBoard.

    The samples are also saved as the workdir's `samples.png`.
    """

    def __init__(self, task: Task, workdir: Workdir, epochs: int, warnings: WriteWarnings):
        super().__init__()
        self._task, self._workdir, self._warnings = task, workdir, warnings
        self._every = max(1, epochs // 10)
        self._writer = tf.summary.create_file_writer(str(workdir / "tensorboard"))

    def on_epoch_end(self, epoch, logs=None):
        """Write."""
        with self._warnings(), self._writer.as_default(step=epoch + 1):
            for name, value in logs.items():
                tf.summary.scalar(name, value)
            if (epoch + 1) % self._every == 0:
                self._task.draw_samples(self.model, self._workdir)
                picture = self._workdir / "samples.png"
                if picture.exists():  # the defaults of a task draw none
                    picture = tf.image.decode_png(picture.read_bytes())
                    tf.summary.image("samples", picture[tf.newaxis])
            self._writer.flush()


def _likelihood(logs, prefix):
    nats, bits = logs[f"{prefix}nats_per_dim"], logs[f"{prefix}bits_per_dim"]
    return f"{nats:.4f} nats/dim = {bits:.4f} bits/dim"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"
