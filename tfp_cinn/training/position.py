"""The position of a run, and continuing from the middle of an epoch."""

from __future__ import annotations

import time

import keras

from tfp_cinn.model import CINN
from tfp_cinn.training.checkpoints import Moment

__all__ = ["Position", "RestOfEpoch"]


class Position(keras.callbacks.Callback):
    """Counts batches and epochs.

    Args:
        moment: where training begins.
        steps: steps per epoch.

    Attributes:
        moment: where training is.
    """

    def __init__(self, moment: Moment, steps: int):
        super().__init__()
        self.moment = moment
        self._steps = steps
        self._began = 0.0

    @property
    def all_steps_done(self) -> bool:
        """Whether only the epoch's validation is left, which must not be interrupted."""
        return self.moment.batch == self._steps

    def on_epoch_begin(self, epoch, logs=None):
        """Note the time."""
        self._began = time.time() - self.moment.seconds

    def on_train_batch_end(self, batch, logs=None):
        """Count the batch."""
        now = self.moment
        self.moment = now._replace(
            step=now.step + 1, batch=now.batch + 1, seconds=time.time() - self._began
        )

    def skip_batch(self):
        """Count a batch that wasn't trained on."""
        self.moment = self.moment._replace(skipped=self.moment.skipped + 1)

    def on_epoch_end(self, epoch, logs=None):
        """Count the epoch."""
        self.moment = self.moment._replace(epoch=epoch + 1, batch=0, seconds=0.0)


class RestOfEpoch(keras.callbacks.Callback):
    """Makes the first epoch of `fit` finish an epoch that was interrupted.

    The metrics continue from their current sums, and the epoch has fewer steps.

    Args:
        model: the model as it was within the epoch.
        steps: number of steps left.
    """

    def __init__(self, model: CINN, steps: int):
        super().__init__()
        self._sums = [(v, v.numpy()) for metric in model.metrics for v in metric.variables]
        self._steps: int | None = steps

    def on_epoch_begin(self, epoch, logs=None):
        """Restore the metrics that `fit` has reset."""
        while self._sums:
            variable, value = self._sums.pop()
            variable.assign(value)

    def on_train_batch_end(self, batch, logs=None):
        """End the epoch."""
        if batch + 1 == self._steps:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        """Clear the stop flag, which `fit` checks again, so that further epochs follow."""
        if self._steps is not None:
            self.model.stop_training = False
            self._steps = None
