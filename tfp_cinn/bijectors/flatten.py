"""Image to vector."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector

__all__ = ["Flatten"]


@keras.saving.register_keras_serializable("tfp_cinn")
class Flatten(ConditionalBijector):
    """Flattens an image: x of shape `[..., H, W, C]` to z of shape `[..., H W C]`; log|det| = 0.

    The image's shape is that given to `build`, or seen in the first image encoded.

    Args:
        event_ndims: rank of the event on the data side.
        channels_first: whether z holds one channel after the other, as in PyTorch, by which the
            halves and permutations after it are those of a network published for that.
        name: name of the bijector.
    """

    conditional = False

    def __init__(self, event_ndims: int = 3, channels_first: bool = False, name: str | None = None):
        super().__init__(event_ndims, 1, name=name)
        self._channels_first = bool(channels_first)

    def _latent_shape(self, event_shape):
        return (math.prod(event_shape),)

    def _data_shape(self, latent_shape):
        return self.event_shape

    def _forward_and_log_det(self, z, cond):
        log_det = tf.zeros(tf.shape(z)[:1], z.dtype)
        if not self._channels_first:
            return tf.reshape(z, [-1, *self.event_shape]), log_det
        *space, channels = self.event_shape
        x = tf.reshape(z, [-1, channels, *space])
        return tf.transpose(x, [0, *range(2, len(space) + 2), 1]), log_det

    def _inverse_and_log_det(self, x, cond):
        log_det = tf.zeros(tf.shape(x)[:1], x.dtype)
        if self._channels_first:
            last = x.shape.rank - 1
            x = tf.transpose(x, [0, last, *range(1, last)])
        return tf.reshape(x, [-1, *self.latent_shape]), log_det

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "event_ndims": self.inverse_min_event_ndims,
            "channels_first": self._channels_first,
            "name": self.name,
        }
