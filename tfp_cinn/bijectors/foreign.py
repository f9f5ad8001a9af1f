"""TFP's own bijectors as members of a chain."""

from __future__ import annotations

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.errors import UsageError

__all__ = ["Foreign"]


class Foreign(ConditionalBijector):
    """A bijector of TFP, which sees no condition and has no weights.

    Args:
        bijector: the bijector; its parameters are constants.

    Raises:
        UsageError: if it has variables or Keras layers, which nothing here would train or save.
    """

    conditional = False

    def __init__(self, bijector: tfp.bijectors.Bijector):
        weights = [w for w in bijector._flatten() if isinstance(w, _WEIGHTS)]
        if weights:
            raise UsageError(
                f"{bijector.name}: a bijector of TFP that has weights ({weights[0].name}) would be "
                "neither saved nor trained with the flow; give it constants, or write a subclass "
                "of ConditionalBijector that holds them in a Keras layer"
            )
        super().__init__(
            bijector.inverse_min_event_ndims, bijector.forward_min_event_ndims, name=bijector.name
        )
        self._bijector = bijector

    def _latent_shape(self, event_shape):
        return tuple(self._bijector.inverse_event_shape(tf.TensorShape(event_shape)))

    def _data_shape(self, latent_shape):
        return tuple(self._bijector.forward_event_shape(tf.TensorShape(latent_shape)))

    # TFP's own cache would answer for old values: show it a tensor it never saw.

    def _forward_and_log_det(self, z, cond):
        z = tf.identity(z)
        log_det = self._bijector.forward_log_det_jacobian(z, event_ndims=z.shape.rank - 1)
        return self._bijector.forward(z), log_det

    def _inverse_and_log_det(self, x, cond):
        x = tf.identity(x)
        log_det = self._bijector.inverse_log_det_jacobian(x, event_ndims=x.shape.rank - 1)
        return self._bijector.inverse(x), log_det

    def label(self, index: int | None = None) -> str:
        """Name of TFP's class."""
        return type(self._bijector).__name__


_WEIGHTS = (tf.Variable, keras.Variable, keras.layers.Layer)
