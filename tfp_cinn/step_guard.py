"""What stops training before a step that can't be taken, and says why."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn.bijectors.recompute import BOUND, too_large
from tfp_cinn.diagnosis import first_non_finite, off_scale
from tfp_cinn.errors import NonFiniteStepError, UsageError
from tfp_cinn.replicas import Totals

__all__ = ["StepGuard"]


class StepGuard(keras.callbacks.Callback):
    """Stops `fit` of a `CINN` at a bad step, and tells its epoch and batch and the reason.

    Warns at the first step if data are of a scale at which training won't get anywhere.
    """

    def __init__(self):
        super().__init__()
        self._epoch = self._batch = 0
        self._first_step: int | None = None
        self._failure: tuple[int, UsageError] | None = None
        self._scale_checked = False

    def on_train_begin(self, logs=None):
        """Forget the last training."""
        self._failure, self._first_step, self._scale_checked = None, None, False

    def on_epoch_begin(self, epoch, logs=None):
        """Note the epoch."""
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        """Note the batch."""
        self._batch = batch
        if self.model.steps_per_execution > 1:  # a graph then takes several batches at a time
            self._first_step = int(_steps_taken(self.model.optimizer).numpy())

    def failure(self) -> UsageError | None:
        """Return the error that stopped training, with its epoch and batch, counted from 1."""
        if self._failure is None:
            return None
        step, error = self._failure
        since = 0 if self._first_step is None else step - self._first_step
        return type(error)(f"epoch {self._epoch + 1}, batch {self._batch + since + 1}: {error}")

    def check(
        self,
        model: keras.Model,
        totals: Totals,
        batch: dict[str, Any],
        gradients: list[tf.Tensor | None],
        error: tf.Tensor,
    ) -> tf.Tensor:
        """Return a tensor that fails, within a step of a model, if this replica has to stop.

        `batch` has `x`, `cond` and `weight`, without those that are None; `error` is that of
        reconstruction.
        """
        own = tf.distribute.get_replica_context().replica_id_in_sync_group
        step = tf.identity(_steps_taken(model.optimizer).value)

        def look():
            # What is read here, TensorFlow doesn't change before or after as it happens: a step
            # that is stopped isn't counted, and the noise that it drew is.
            now = tf.identity(_steps_taken(model.optimizer).value)
            noise = [tf.identity(v.value) for v in model.non_trainable_variables]
            finite = [g is None or tf.reduce_all(tf.math.is_finite(g)) for g in gradients]
            finite = tf.stack(finite) if finite else tf.zeros([0], bool)
            figures = [now, totals.stops, totals.bad, own, error, finite]
            with tf.control_dependencies(noise):
                tf.py_function(stop_or_warn, [*figures, *tf.nest.flatten(batch)], [])
            return tf.constant(False)

        def stop_or_warn(step, stops, bad, own, error, finite, *parts):
            given = tf.nest.pack_sequence_as(batch, parts)
            if not stops:
                self._warn_of_scale(model, given["x"], given.get("cond"))
                return
            if bad != own:
                failure = NonFiniteStepError(
                    f"the loss or gradient of replica {int(bad)} is NaN or infinite; its worker "
                    "says why"
                )
            elif not error <= BOUND:  # NaN included
                failure = UsageError(too_large(error))
            else:
                failure = NonFiniteStepError(_why_not_finite(model, finite.numpy(), **given))
            self._failure = int(step), failure
            raise failure

        return tf.cond(totals.stops | (step == 0), look, lambda: tf.constant(True))

    def _warn_of_scale(self, model, x, cond):
        if self._scale_checked:
            return
        self._scale_checked = True
        try:
            rows = tf.nest.map_structure(lambda c: c if c is None else c[:32], cond)
            features = model.distribution.features(rows)
        except UsageError:  # in rows that the step makes NaN, and then stops
            return
        if text := off_scale(model.distribution.bijector, x[:32], features, most=100.0):
            warnings.warn(text, stacklevel=2)


def _why_not_finite(model, finite, x, cond=None, weight=None):
    """What went wrong, in eager mode; `finite` says which gradients are."""
    if weight is not None and not np.all(weight >= 0) & np.all(np.isfinite(weight)):
        return "sample_weight has values that are negative, NaN or infinite"
    bad = [w for w, good in zip(model.trainable_weights, finite, strict=True) if not good]
    try:
        reason = first_non_finite(model.distribution, x, cond, bad)
    except UsageError as error:  # such as a label out of range, found only in eager mode
        return str(error)
    raw = cond if model.conditioner is None else None
    scale = off_scale(model.distribution.bijector, x, raw, most=20.0, tails=True)
    return f"{reason}; {scale}" if scale else reason


def _steps_taken(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """Batches that an optimizer has seen, where `iterations` counts updates of the weights."""
    return getattr(optimizer, "inner_optimizer", optimizer)._iterations
