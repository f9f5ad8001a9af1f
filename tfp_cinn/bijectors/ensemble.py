"""Several flows as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn.bijectors.computing import current
from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector, check_ours
from tfp_cinn.bijectors.latent_scale import LatentScale
from tfp_cinn.errors import UsageError

__all__ = ["Ensemble"]


@keras.saving.register_keras_serializable("tfp_cinn")
class Mixture(keras.layers.Layer):
    """Log-density of a mixture with equal weights, `[N]`, from those of its members, `[N, K]`.

    In training it is the mean over the members, so that each learns as if it were alone.
    """

    def call(self, log_probs, training=None):
        if training:
            return tf.reduce_mean(log_probs, axis=-1)
        return tf.reduce_logsumexp(log_probs, axis=-1) - math.log(log_probs.shape[-1])


@keras.saving.register_keras_serializable("tfp_cinn")
class Ensemble(ConditionalBijector):
    r"""Several flows as one, their mixture with equal weights.

        p(x | c) = (1 / K) sum_k p_k(x | c)    with p_k the density of f_k(z; c), z ~ N(0, I)

    Its latents `[D + 2]` are N(0, I) as well, [z | a, b]: the angle of (a, b), which no temperature
    changes, lies in one of K sectors, and decoding is x = f_k(z; c) for sector k. Encoding gives
    the latents of the member with the highest density, with (a, b) in the middle of its sector. So
    decoding undoes encoding, but not the other way round: the log-determinant is what makes

        log N(z, a, b; 0, I) + log-det = log p(x | c)

    and holds for this base alone (a surjection: Nielsen et al., "SurVAE Flows", arXiv 2007.02731).

    In training, log p is the mean of the members' log p_k, so that each of them learns by itself;
    they share the model's conditioner. Drawing costs as much as with one member, log p K times as
    much. Drawing can't be compiled with XLA.

    Args:
        bijectors: f_1 to f_K, for the same shapes of x and of the condition.

    Raises:
        UsageError: if there are none; when built, if the members' numbers of latents differ.
    """

    def __init__(self, bijectors: Sequence[ConditionalBijector], name: str | None = None):
        bijectors = list(bijectors)
        if not bijectors:
            raise UsageError("bijectors: expected at least one member of an Ensemble")
        for b in bijectors:
            check_ours("bijectors", b)
        super().__init__(max(b.inverse_min_event_ndims for b in bijectors), 1, name=name)
        self._bijectors = bijectors
        self._mixture = Mixture(dtype=keras.config.floatx(), autocast=False)

    def members(self) -> tuple[ConditionalBijector, ...]:
        """Return the members."""
        return tuple(self._bijectors)

    def label(self, index: int | None = None) -> str:
        """Return `Ensemble`, or `Ensemble[index]` for a member."""
        return super().label() + (f"[{index}]" if index is not None else "")

    def inverse_steps(self, x, cond):
        """Yield each member with x and the condition."""
        for b in self._bijectors:
            yield b, x, cond

    def _build(self, event_shape, cond_shape):
        self._check_rank(event_shape)
        for b in self._bijectors:
            b.build(event_shape, cond_shape)
        sizes = {math.prod(b.latent_shape) for b in self._bijectors}
        if len(sizes) > 1:
            raise UsageError(f"{self.name}: expected members of equally many latents, got {sizes}")

    def _latent_shape(self, event_shape):
        return (math.prod(self._bijectors[0]._latent_shape(event_shape)) + 2,)

    def _data_shape(self, latent_shape):
        return None

    def _latent_scales(self):
        return (LatentScale(0, *self.latent_shape, self.latent_shape),)

    def _inverse_and_log_det(self, x, cond):
        latents, log_probs = [], []
        for b in self._bijectors:
            z, log_det = b._inverse_and_log_det(x, cond)
            latents.append(tf.reshape(z, [-1, math.prod(z.shape[1:])]))
            log_probs.append(_log_normal(latents[-1]) + log_det)
        log_probs = tf.stack(log_probs, axis=1)
        best = tf.argmax(log_probs, axis=1, output_type=tf.int32)
        angles = (np.arange(len(latents)) + 0.5) * 2 * np.pi / len(latents)
        middles = math.sqrt(2) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        sector = tf.gather(tf.constant(middles, x.dtype), best)
        z = tf.concat([tf.gather(tf.stack(latents, axis=1), best, batch_dims=1), sector], axis=1)
        return z, tf.cast(self._mixture(log_probs), x.dtype) - _log_normal(z)

    def _forward_and_log_det(self, z, cond):
        count = len(self._bijectors)
        turn = tf.math.atan2(z[:, -1], z[:, -2]) / (2 * math.pi)
        sector = tf.cast(tf.floor((turn - tf.floor(turn)) * count), tf.int32)
        sector = tf.clip_by_value(sector, 0, count - 1)
        # Each member decodes its own rows.
        rows = tf.dynamic_partition(tf.range(tf.shape(z)[0]), sector, count)
        parts = []
        for b, mine in zip(self._bijectors, rows, strict=True):
            latents = tf.reshape(tf.gather(z[:, :-2], mine), [-1, *b.latent_shape])
            parts.append(b._forward_and_log_det(latents, _rows(cond, mine))[0])
        x = tf.reshape(tf.dynamic_stitch(rows, parts), [-1, *self.event_shape])
        if not current().log_det:
            return x, tf.zeros_like(turn)
        canonical, log_det = self._inverse_and_log_det(x, cond)
        return x, _log_normal(z) - _log_normal(canonical) - log_det


def _rows(cond, indices):
    return tf.nest.map_structure(lambda c: c if c is None else tf.gather(c, indices), cond)


def _log_normal(z):
    """Log-density of N(0, I) at z, `[N, D]`."""
    return -0.5 * (tf.reduce_sum(z**2, axis=1) + z.shape[1] * math.log(2 * math.pi))
