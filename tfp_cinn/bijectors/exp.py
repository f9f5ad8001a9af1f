"""Positive data by their logarithm."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn.bijectors.bounded import check_support, strictly_inside
from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector

__all__ = ["Exp"]

_ZERO, _INFINITY = np.array(0.0), np.array(np.inf)


@keras.saving.register_keras_serializable("tfp_cinn")
class Exp(ConditionalBijector):
    r"""Positive data by their logarithm: x = e^z, each entry for itself.

        encoding: z = log x,    log|det dz/dx| = -sum log x

    In float32 samples overflow at z > 88; `Softplus` grows linearly.

    Args:
        name: name of the bijector.

    Raises:
        UsageError: in eager mode, if a value isn't positive; in a graph its row is NaN.
    """

    conditional = False

    def __init__(self, name: str | None = None):
        super().__init__(1, name=name)

    def _inverse_and_log_det(self, x, cond):
        z = tf.math.log(check_support(self.name, x, _ZERO, _INFINITY))
        return z, -tf.reduce_sum(z, axis=range(1, z.shape.rank))

    def _forward_and_log_det(self, z, cond):
        x = strictly_inside(tf.exp(z), _ZERO, _INFINITY)
        return x, tf.reduce_sum(z, axis=range(1, z.shape.rank))
