"""The elementwise part of a coupling: what is done to the active half, given its parameters."""

from __future__ import annotations

import abc

import tensorflow as tf

from tfp_cinn.bijectors.clamps import CLAMPS
from tfp_cinn.errors import UsageError

__all__ = ["Affine", "Elementwise", "Translation"]


class Elementwise(abc.ABC):
    """An invertible map of the active half u, element by element, with parameters from a subnet.

    `params` has `params_per_channel` times as many channels as u. Log-determinants have shape
    `[N]`, nats.
    """

    params_per_channel: int

    @abc.abstractmethod
    def inverse(self, u: tf.Tensor, params: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Data to latent."""

    @abc.abstractmethod
    def forward(self, v: tf.Tensor, params: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Latent to data."""


class Affine(Elementwise):
    """v = u * exp(a(s)) + t with the subnet's output [s | t] and a soft clamp a.

    Args:
        clamp: bound of the log-scale, in nats.
        clamp_type: which of `CLAMPS`.
    """

    params_per_channel = 2

    def __init__(self, clamp: float, clamp_type: str):
        if clamp_type not in CLAMPS:
            raise UsageError(f"clamp_type: expected one of {', '.join(CLAMPS)}, got {clamp_type!r}")
        if not clamp > 0:
            raise UsageError(f"clamp: expected a positive bound of the log-scale, got {clamp}")
        self._clamp, self._bound = CLAMPS[clamp_type], float(clamp)

    def inverse(self, u, params):
        """Data to latent: v = u * exp(a(s)) + t."""
        log_scale, t = self._split(params)
        return u * tf.exp(log_scale) + t, _sum_event(log_scale)

    def forward(self, v, params):
        """Latent to data: u = (v - t) * exp(-a(s))."""
        log_scale, t = self._split(params)
        return (v - t) * tf.exp(-log_scale), -_sum_event(log_scale)

    def _split(self, params):
        s, t = tf.split(params, 2, axis=-1)
        return self._clamp(s, self._bound), t


class Translation(Elementwise):
    """v = u + t with the subnet's output t; log|det| = 0."""

    params_per_channel = 1

    def inverse(self, u, params):
        """Data to latent: v = u + t."""
        return u + params, tf.zeros(tf.shape(u)[:1], u.dtype)

    def forward(self, v, params):
        """Latent to data: u = v - t."""
        return v - params, tf.zeros(tf.shape(v)[:1], v.dtype)


def _sum_event(t: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(t, axis=list(range(1, t.shape.rank)))
