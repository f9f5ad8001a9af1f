"""Hard permutation of the channels."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector

__all__ = ["RandomPermutation"]


@keras.saving.register_keras_serializable("tfp_cinn")
class RandomPermutation(ConditionalBijector):
    """Fixed random permutation p of the last axis: z[i] = x[p[i]]; log|det| = 0.

    p is `numpy.random.RandomState(seed).permutation(C)`, a stream that NumPy keeps frozen, drawn
    without touching any global generator. It is the permutation that FrEIA's `PermuteRandom` of
    the same seed makes, so that published networks need only their seeds.

    Args:
        seed: seed of the permutation.
    """

    conditional = False

    def __init__(self, seed: int, name: str | None = None):
        super().__init__(1, name=name)
        self._seed = int(seed)

    def _build(self, event_shape, cond_shape):
        permutation = np.random.RandomState(self._seed).permutation(event_shape[-1])
        self._permutation = self._no_dependency(permutation)
        self._inverse_permutation = self._no_dependency(np.argsort(permutation))

    def _forward_and_log_det(self, z, cond):
        x = _permute(z, self._inverse_permutation, self._permutation)
        return x, tf.zeros(tf.shape(z)[:1], z.dtype)

    def _inverse_and_log_det(self, x, cond):
        z = _permute(x, self._permutation, self._inverse_permutation)
        return z, tf.zeros(tf.shape(x)[:1], x.dtype)


def _permute(x: tf.Tensor, permutation: np.ndarray, inverse: np.ndarray) -> tf.Tensor:
    """y[..., i] = x[..., permutation[i]]."""

    # TensorFlow's own gradient of a gather adds up, element by element.
    @tf.custom_gradient
    def permute(x):
        return _gather(x, permutation), lambda dy: _permute(dy, inverse, permutation)

    return permute(x)


def _gather(x: tf.Tensor, indices: np.ndarray) -> tf.Tensor:
    if x.shape.rank != 2:
        return tf.gather(x, indices, axis=-1)
    # On a CPU, rows of the transpose are copied much faster than elements.
    return tf.transpose(tf.gather(tf.transpose(x), indices))
