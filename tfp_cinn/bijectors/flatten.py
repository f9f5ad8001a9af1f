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
        name: name of the bijector.
    """

    conditional = False

    def __init__(self, event_ndims: int = 3, name: str | None = None):
        super().__init__(event_ndims, 1, name=name)

    def _latent_shape(self, event_shape):
        return (math.prod(event_shape),)

    def _data_shape(self, latent_shape):
        return self.event_shape

    def _forward_and_log_det(self, z, cond):
        return tf.reshape(z, [-1, *self.event_shape]), tf.zeros(tf.shape(z)[:1], z.dtype)

    def _inverse_and_log_det(self, x, cond):
        return tf.reshape(x, [-1, *self.latent_shape]), tf.zeros(tf.shape(x)[:1], x.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"event_ndims": self.inverse_min_event_ndims, "name": self.name}
