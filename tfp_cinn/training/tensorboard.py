"""Figures and samples of a run for TensorBoard."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfp_cinn.tasks import Task
from tfp_cinn.training.resumable import training_continues
from tfp_cinn.workdir import Workdir

__all__ = ["TensorBoard"]


class TensorBoard(keras.callbacks.Callback):
    """Writes scalars of every epoch, and samples after every tenth of the run, for TensorBoard.

    The samples are also saved as the workdir's `samples.png`.
    """

    def __init__(self, task: Task, workdir: Workdir, epochs: int):
        super().__init__()
        self._task, self._workdir, self._every = task, workdir, max(1, epochs // 10)
        self._writer = tf.summary.create_file_writer(str(workdir / "tensorboard"))

    def on_epoch_end(self, epoch, logs=None):
        """Write."""
        with training_continues(), self._writer.as_default(step=epoch + 1):
            for name, value in logs.items():
                tf.summary.scalar(name, value)
            if (epoch + 1) % self._every == 0:
                self._task.draw_samples(self.model, self._workdir)
                picture = self._workdir / "samples.png"
                if picture.exists():  # the defaults of a task draw none
                    picture = tf.image.decode_png(picture.read_bytes())
                    tf.summary.image("samples", picture[tf.newaxis])
            self._writer.flush()
