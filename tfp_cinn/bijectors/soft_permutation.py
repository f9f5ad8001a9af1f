"""Soft permutation of the channels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import scipy.stats
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector

__all__ = ["SoftPermutation", "random_rotation", "times"]


def random_rotation(channels: int, seed: int) -> np.ndarray:
    """Draw a matrix of SO(channels) from the Haar measure."""
    if channels == 1:
        return np.ones((1, 1))  # SciPy's generator starts at 2
    rng = np.random.RandomState(seed)
    return scipy.stats.special_ortho_group.rvs(channels, random_state=rng)


def times(x: tf.Tensor, matrix: tf.Tensor, transpose: bool = False) -> tf.Tensor:
    """Multiply the last axis of x, `[N, ..., C]`, by a matrix or its transpose."""
    # Rank 2: a product of feature maps of one row with a matrix corrupts memory in TensorFlow
    # 2.21 (tensorflow/tensorflow#117700).
    rows = tf.linalg.matmul(tf.reshape(x, [-1, x.shape[-1]]), matrix, transpose_b=transpose)
    return tf.reshape(rows, [-1, *x.shape[1:]])


@keras.saving.register_keras_serializable("tfp_cinn")
class Rotation(keras.layers.Layer):
    """The matrix Q of a `SoftPermutation`, drawn from a seed."""

    def __init__(self, seed: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed

    def build(self, input_shape):
        """Draw Q."""
        q = random_rotation(input_shape[-1], self.seed)
        self.q = self.add_weight(
            shape=q.shape,
            initializer=lambda shape, dtype: tf.cast(q, dtype),
            trainable=False,
            name="q",
        )


@keras.saving.register_keras_serializable("tfp_cinn")
class SoftPermutation(ConditionalBijector):
    """Fixed random rotation of the last axis: z = x Q with Q in SO(C); log|det| = 0.

    The paper's soft channel permutation (arXiv 1907.02392, sec. 3.4): every output channel mixes
    all inputs, at the cost of a matrix product, on feature maps a 1x1 convolution. Q is drawn from
    the Haar measure and saved with the weights, but not trained.

    Args:
        seed: seed of the rotation; no global generator is touched.
    """

    conditional = False

    def __init__(self, seed: int, name: str | None = None):
        super().__init__(1, name=name)
        self._seed = int(seed)
        self._rotation = Rotation(self._seed)

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The layer that holds Q."""
        return [self._rotation]

    def _build(self, event_shape, cond_shape):
        self._rotation.build(event_shape)

    def _forward_and_log_det(self, z, cond):
        return self._rotate(z, transpose=True), tf.zeros(tf.shape(z)[:1], z.dtype)

    def _inverse_and_log_det(self, x, cond):
        return self._rotate(x, transpose=False), tf.zeros(tf.shape(x)[:1], x.dtype)

    def _rotate(self, x, transpose):
        return times(x, tf.cast(self._rotation.q.value, x.dtype), transpose)
