"""Tails like those of Student's t."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.shapes import sum_event
from tfp_cinn.errors import UsageError

__all__ = ["HeavyTails"]


@keras.saving.register_keras_serializable("tfp_cinn")
class DegreesOfFreedom(keras.layers.Layer):
    """The weights of a `HeavyTails`."""

    def build(self, input_shape):
        """Create log(df / its start) for each channel, zero."""
        self.log_ratio = self.add_weight(
            shape=input_shape[-1:], initializer="zeros", name="log_ratio"
        )


@keras.saving.register_keras_serializable("tfp_cinn")
class HeavyTails(ConditionalBijector):
    r"""Gives each channel the tails of Student's t, while latents stay N(0, I).

    Encoding, entry by entry, with the trained degrees of freedom nu of its channel:

        z = sign(x) * sqrt(nu * log(1 + x^2 / nu))
        log|dz/dx| = log(x / z) - log(1 + x^2 / nu)

    so that exp(-z^2 / 2) = (1 + x^2 / nu)^(-nu / 2). Next to zero it is the identity. As the last
    member of a chain it is a base distribution with heavy tails: an x that would lie at
    `|z| = 1000` costs about nu log(1000 / sqrt(nu)) nats instead of 500,000.

    Args:
        df: nu at the start, for all channels; larger is closer to the identity.

    Raises:
        UsageError: if df isn't a positive number.
    """

    conditional = False

    def __init__(self, df: float = 10.0, name: str | None = None):
        if not 0 < df < math.inf:
            raise UsageError(f"df: expected a positive number, got {df}")
        super().__init__(1, name=name)
        self._df = float(df)
        self._weights = DegreesOfFreedom()

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The layer that holds the degrees of freedom."""
        return [self._weights]

    def _build(self, event_shape: Any, cond_shape: Any) -> None:
        self._weights.build(event_shape)

    def _nu(self, dtype):
        return self._df * tf.exp(tf.cast(self._weights.log_ratio.value, dtype))

    def _inverse_and_log_det(self, x, cond):
        square = x**2 / self._nu(x.dtype)
        ratio = _over(square, tf.math.log1p, (-1 / 2, 1 / 3, -1 / 4))
        log_det = -sum_event(tf.math.log(ratio) / 2 + tf.math.log1p(square))
        return x * tf.sqrt(ratio), log_det

    def _forward_and_log_det(self, z, cond):
        square = tf.minimum(z**2 / self._nu(z.dtype), 80.0)  # e^80 is more than any x
        ratio = _over(square, tf.math.expm1, (1 / 2, 1 / 6, 1 / 24))
        return z * tf.sqrt(ratio), sum_event(square - tf.math.log(ratio) / 2)


def _over(t, function, series):
    """function(t) / t, next to zero by its series 1 + a t + b t^2 + c t^3."""
    small = t < 1e-4  # the next term is below 1e-16
    safe = tf.where(small, tf.ones_like(t), t)
    a, b, c = series
    return tf.where(small, 1 + t * (a + t * (b + t * c)), function(safe) / safe)
