"""Changes of shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.errors import UsageError

__all__ = ["Flatten", "Reshape"]


@keras.saving.register_keras_serializable("tfp_cinn")
class Reshape(ConditionalBijector):
    """Reshapes the event: x of shape `event_shape` to z of shape `latent_shape`; log|det| = 0.

    Args:
        event_shape: event shape on the data side.
        latent_shape: event shape on the latent side, of as many elements.

    Raises:
        UsageError: if the two shapes differ in their number of elements.
    """

    conditional = False

    def __init__(
        self, event_shape: Sequence[int], latent_shape: Sequence[int], name: str | None = None
    ):
        self._data, self._latent = tuple(event_shape), tuple(latent_shape)
        if math.prod(self._data) != math.prod(self._latent):
            raise UsageError(
                f"Reshape: {self._data} has {math.prod(self._data)} elements, {self._latent} has "
                f"{math.prod(self._latent)}; expected as many"
            )
        super().__init__(len(self._data), len(self._latent), name=name)

    def _build(self, event_shape, cond_shape):
        if event_shape != self._data:
            raise UsageError(f"{self.name}: expected event shape {self._data}, got {event_shape}")

    def _latent_shape(self, event_shape):
        return self._latent

    def _data_shape(self, latent_shape):
        return self._data

    def _forward_and_log_det(self, z, cond):
        return tf.reshape(z, [-1, *self._data]), tf.zeros(tf.shape(z)[:1], z.dtype)

    def _inverse_and_log_det(self, x, cond):
        return tf.reshape(x, [-1, *self._latent]), tf.zeros(tf.shape(x)[:1], x.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "event_shape": list(self._data),
            "latent_shape": list(self._latent),
            "name": self.name,
        }


@keras.saving.register_keras_serializable("tfp_cinn")
class Flatten(ConditionalBijector):
    """Flattens an image: x of shape `[..., H, W, C]` to z of shape `[..., H W C]`; log|det| = 0.

    The image's shape is that given to `build`, or seen in the first image encoded.

    Args:
        event_ndims: rank of the event on the data side.
        channels_first: whether z holds one channel after the other, as in PyTorch: the halves and
            permutations after it are then those of a network published for that.
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
