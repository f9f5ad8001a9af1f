"""Learned rotation of the channels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.soft_permutation import times
from tfp_cinn.errors import UsageError

__all__ = ["Householder"]


@keras.saving.register_keras_serializable("tfp_cinn")
class Reflections(keras.layers.Layer):
    """The vectors of a `Householder`, drawn from a seed."""

    def __init__(self, reflections: int, seed: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.reflections, self.seed = reflections, seed

    def build(self, input_shape):
        """Draw the vectors."""
        shape = input_shape[-1], self.reflections
        start = np.random.RandomState(self.seed).normal(size=shape)
        self.vectors = self.add_weight(
            shape=shape, initializer=lambda shape, dtype: tf.cast(start, dtype), name="vectors"
        )


@keras.saving.register_keras_serializable("tfp_cinn")
class Householder(ConditionalBijector):
    r"""Trained orthogonal map of the last axis, a product of reflections; log|det| = 0.

        z = x H_1 ... H_K,    H_k = I - 2 v_k v_k^T / |v_k|^2

    With as many reflections as channels it can be any of the orthogonal maps of determinant
    (-1)^K. The product is I - V S^-1 V^T with S the upper triangle of V^T V and half of its
    diagonal, so that no loop is needed. `Linear` scales and shears as well.

    Source: Tomczak and Welling, "Improving Variational Auto-Encoders using Householder Flow",
    arXiv 1611.09630; the product in Joffrain et al., "Accumulating Householder transformations,
    revisited", ACM TOMS 32, 2006.

    Args:
        reflections: K.
        seed: seed of the vectors that it starts with; no global generator is touched.

    Raises:
        UsageError: if there are none.
    """

    conditional = False

    def __init__(self, reflections: int, seed: int, name: str | None = None):
        if reflections < 1:
            raise UsageError(f"reflections: expected at least 1, got {reflections}")
        super().__init__(1, name=name)
        self._reflections, self._seed = int(reflections), int(seed)
        self._vectors = Reflections(self._reflections, self._seed)

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The layer that holds the vectors."""
        return [self._vectors]

    def _build(self, event_shape, cond_shape):
        self._vectors.build(event_shape)

    def _matrix(self, dtype):
        v = tf.cast(self._vectors.vectors.value, dtype)
        products = tf.linalg.matmul(v, v, transpose_a=True)
        s = tf.linalg.set_diag(products, tf.linalg.diag_part(products) / 2)
        solved = tf.linalg.triangular_solve(s, tf.transpose(v), lower=False)
        return tf.eye(v.shape[0], dtype=dtype) - v @ solved

    def _inverse_and_log_det(self, x, cond):
        return times(x, self._matrix(x.dtype)), tf.zeros(tf.shape(x)[:1], x.dtype)

    def _forward_and_log_det(self, z, cond):
        x = times(z, self._matrix(z.dtype), transpose=True)
        return x, tf.zeros(tf.shape(z)[:1], z.dtype)
