"""Learned mixing of the channels."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import scipy.linalg
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.soft_permutation import random_rotation, times

__all__ = ["Linear"]


@keras.saving.register_keras_serializable("tfp_cinn")
class LUFactors(keras.layers.Layer):
    """The factors of a `Linear`'s matrix, which starts as a rotation drawn from a seed."""

    def __init__(self, seed: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed

    def build(self, input_shape):
        """Create the factors of a random rotation."""
        permutation, lower, upper = scipy.linalg.lu(random_rotation(input_shape[-1], self.seed))
        diagonal = np.diag(upper)

        def add(name, value, trainable=True):
            return self.add_weight(
                shape=value.shape,
                initializer=lambda shape, dtype: tf.cast(value, dtype),
                trainable=trainable,
                name=name,
            )

        self.permutation = add("permutation", permutation, trainable=False)
        self.signs = add("signs", np.sign(diagonal), trainable=False)
        self.lower = add("lower", np.tril(lower, -1))
        self.upper = add("upper", np.triu(upper, 1))
        self.log_diagonal = add("log_diagonal", np.log(np.abs(diagonal)))


@keras.saving.register_keras_serializable("tfp_cinn")
class Linear(ConditionalBijector):
    r"""Trained linear map of the last axis, on feature maps a 1x1 convolution.

    Encoding `[..., C]`, at every position:

        z = x P L (U + diag(signs * exp(d))),    log|det dz/dx| = (positions) * sum(d)

    P is a fixed permutation, L is lower triangular with ones on its diagonal, U strictly upper
    triangular. It starts as the rotation that is `SoftPermutation(seed)`. Decoding solves the two
    triangular systems.

    Source: Kingma and Dhariwal, "Glow", arXiv 1807.03039, sec. 3.2.

    Args:
        seed: seed of the rotation it starts as; no global generator is touched.
    """

    conditional = False

    def __init__(self, seed: int, name: str | None = None):
        super().__init__(1, name=name)
        self._seed = int(seed)
        self._factors = LUFactors(self._seed)

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The layer that holds the factors."""
        return [self._factors]

    def _build(self, event_shape, cond_shape):
        self._factors.build(event_shape)

    def _matrices(self, dtype):
        """P, L and the whole upper factor."""
        f = self._factors
        lower = tf.linalg.set_diag(
            tf.linalg.band_part(f.lower.value, -1, 0), tf.ones_like(f.log_diagonal.value)
        )
        upper = tf.linalg.set_diag(
            tf.linalg.band_part(f.upper.value, 0, -1), f.signs.value * tf.exp(f.log_diagonal.value)
        )
        return [tf.cast(m, dtype) for m in (f.permutation.value, lower, upper)]

    def _inverse_and_log_det(self, x, cond):
        permutation, lower, upper = self._matrices(x.dtype)
        return times(x, permutation @ lower @ upper), self._log_det(x)

    def _forward_and_log_det(self, z, cond):
        permutation, lower, upper = self._matrices(z.dtype)
        columns = tf.transpose(tf.reshape(z, [-1, z.shape[-1]]))
        columns = tf.linalg.triangular_solve(upper, columns, lower=False, adjoint=True)
        columns = tf.linalg.triangular_solve(lower, columns, lower=True, adjoint=True)
        rows = tf.linalg.matmul(columns, permutation, transpose_a=True, transpose_b=True)
        return tf.reshape(rows, [-1, *z.shape[1:]]), -self._log_det(z)

    def _log_det(self, x):
        total = tf.reduce_sum(tf.cast(self._factors.log_diagonal.value, x.dtype))
        return tf.fill(tf.shape(x)[:1], math.prod(x.shape[1:-1]) * total)
