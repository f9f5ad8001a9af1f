"""Fixed change of units."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.errors import UsageError

__all__ = ["Standardize"]


@keras.saving.register_keras_serializable("tfp_cinn")
class Standardize(ConditionalBijector):
    r"""Fixed change from data units to standard units: z = (x - mean) / std.

        log|det dz/dx| = -(positions) * sum(log std)

    As the first member of a chain it lets the flow work on data of mean 0 and standard deviation 1
    while samples and likelihoods stay in the units of the data.

    Args:
        mean: mean of the data, a number or one for each channel.
        std: standard deviation of the data, likewise; positive.

    Raises:
        UsageError: if a standard deviation isn't positive.
    """

    conditional = False

    def __init__(
        self,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        name: str | None = None,
    ):
        super().__init__(1, name=name)
        self._mean = self._no_dependency(np.asarray(mean, np.float64))
        self._std = self._no_dependency(np.asarray(std, np.float64))
        if not (np.all(self._std > 0) and np.all(np.isfinite(self._mean))):
            raise UsageError(
                f"Standardize: expected a finite mean and a positive std, got {mean} and {std}"
            )

    def _build(self, event_shape, cond_shape):
        for value in (self._mean, self._std):
            if value.shape not in ((), event_shape[-1:]):
                raise UsageError(
                    f"{self.name}: expected a number or one for each of {event_shape[-1]} "
                    f"channels, got {value.tolist()}"
                )

    def _forward_and_log_det(self, z, cond):
        x = z * tf.cast(self._std, z.dtype) + tf.cast(self._mean, z.dtype)
        return x, self._log_std_sum(z)

    def _inverse_and_log_det(self, x, cond):
        z = (x - tf.cast(self._mean, x.dtype)) / tf.cast(self._std, x.dtype)
        return z, -self._log_std_sum(x)

    def _log_std_sum(self, x):
        log_std = np.broadcast_to(np.log(self._std), (x.shape[-1],)).sum()
        return tf.fill(tf.shape(x)[:1], tf.cast(math.prod(x.shape[1:-1]) * log_std, x.dtype))
