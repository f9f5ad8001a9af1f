"""Activation normalization."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector

__all__ = ["ActNorm"]


@keras.saving.register_keras_serializable("tfp_cinn")
class ScaleAndShift(keras.layers.Layer):
    """The weights of an `ActNorm`."""

    def build(self, input_shape):
        """Create one log-scale and one shift for each channel, zero."""
        shape = input_shape[-1:]
        self.log_scale = self.add_weight(shape=shape, initializer="zeros", name="log_scale")
        self.shift = self.add_weight(shape=shape, initializer="zeros", name="shift")


@keras.saving.register_keras_serializable("tfp_cinn")
class ActNorm(ConditionalBijector):
    r"""Trainable scale and shift of each channel.

    Encoding `[..., C]`, at every position:

        z = x * exp(log_scale) + shift,    log|det dz/dx| = (positions) * sum(log_scale)

    It is the identity until `calibrate(x)` (of this bijector, or of the chain that holds it) sets
    scale and shift so that z of that batch has mean 0 and standard deviation 1 in every channel;
    an ordinary call never does. A channel that doesn't vary in the batch, as in a batch of one
    vector, is centered and left unscaled.

    Source: Kingma and Dhariwal, "Glow", arXiv 1807.03039, sec. 3.1.
    """

    conditional = False

    def __init__(self, name: str | None = None):
        super().__init__(1, name=name)
        self._affine = ScaleAndShift()

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The layer that holds log-scale and shift."""
        return [self._affine]

    def _build(self, event_shape, cond_shape):
        self._affine.build(event_shape)

    def _calibrate(self, x, cond):
        mean, variance = tf.nn.moments(x, axes=list(range(x.shape.rank - 1)))
        # Rounding leaves a constant channel with a variance of about (eps * mean)^2.
        tiny = tf.square(x.dtype.as_numpy_dtype(1e-5) * (1.0 + tf.abs(mean)))
        log_scale = tf.where(variance > tiny, -0.5 * tf.math.log(tf.maximum(variance, tiny)), 0.0)
        self._affine.log_scale.assign(log_scale)
        self._affine.shift.assign(-mean * tf.exp(log_scale))

    def _weights(self, dtype):
        log_scale, shift = self._affine.log_scale.value, self._affine.shift.value
        return tf.cast(log_scale, dtype), tf.cast(shift, dtype)

    def _forward_and_log_det(self, z, cond):
        log_scale, shift = self._weights(z.dtype)
        return (z - shift) * tf.exp(-log_scale), -self._log_det(z, log_scale)

    def _inverse_and_log_det(self, x, cond):
        log_scale, shift = self._weights(x.dtype)
        return x * tf.exp(log_scale) + shift, self._log_det(x, log_scale)

    def _log_det(self, x, log_scale):
        positions = math.prod(x.shape[1:-1])
        return tf.fill(tf.shape(x)[:1], positions * tf.reduce_sum(log_scale))
