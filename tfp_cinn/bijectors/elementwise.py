"""The elementwise part of a coupling: what is done to the active half, given its parameters."""

from __future__ import annotations

import abc
import math

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_cinn.bijectors.clamps import CLAMPS
from tfp_cinn.bijectors.shapes import sum_event
from tfp_cinn.errors import UsageError

__all__ = ["Affine", "Elementwise", "Spline", "Translation"]


class Elementwise(abc.ABC):
    """An invertible map of the active half u, element by element, with parameters from a subnet.

    `params` has `params_per_channel` times as many channels as u. Log-determinants have shape
    `[N]`, nats.
    """

    params_per_channel: int

    @abc.abstractmethod
    def inverse(self, u: tf.Tensor, params: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map data to latents."""

    @abc.abstractmethod
    def forward(self, v: tf.Tensor, params: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map latents to data."""


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
        """Return v = u * exp(a(s)) + t."""
        log_scale, t = self._split(params)
        return u * tf.exp(log_scale) + t, sum_event(log_scale)

    def forward(self, v, params):
        """Return u = (v - t) * exp(-a(s))."""
        log_scale, t = self._split(params)
        return (v - t) * tf.exp(-log_scale), -sum_event(log_scale)

    def _split(self, params):
        s, t = tf.split(params, 2, axis=-1)
        return self._clamp(s, self._bound), t


class Translation(Elementwise):
    """v = u + t with the subnet's output t; log|det| = 0."""

    params_per_channel = 1

    def inverse(self, u, params):
        """Return v = u + t."""
        return u + params, tf.zeros(tf.shape(u)[:1], u.dtype)

    def forward(self, v, params):
        """Return u = v - t."""
        return v - params, tf.zeros(tf.shape(v)[:1], v.dtype)


class Spline(Elementwise):
    """Monotone rational quadratic spline on [-bound, bound], the identity outside.

    Zero parameters give the identity. Source: Durkan et al., "Neural Spline Flows", 2019,
    arXiv:1906.04032, sec. 3.1; computed by `tfp.bijectors.RationalQuadraticSpline`.

    Args:
        bins: K, number of pieces.
        bound: where the identity begins.
    """

    def __init__(self, bins: int = 16, bound: float = 5.0):
        self._bins, self._bound = bins, bound
        self.params_per_channel = 3 * bins - 1

    def inverse(self, u, params):
        """Map data to latents."""
        spline = self._spline(u, params)
        log_det = spline.forward_log_det_jacobian(u, event_ndims=1)
        return spline.forward(tf.identity(u)), log_det

    def forward(self, v, params):
        """Map latents to data."""
        spline = self._spline(v, params)
        log_det = spline.inverse_log_det_jacobian(v, event_ndims=1)
        return spline.inverse(tf.identity(v)), log_det

    def _spline(self, u, params):
        params = tf.reshape(params, [-1, u.shape[-1], self.params_per_channel])
        widths, heights, slopes = tf.split(params, [self._bins, self._bins, -1], axis=-1)
        least = 1e-3  # no piece and no slope vanishes
        free = 1 - least * self._bins

        def lengths(logits):
            return 2 * self._bound * (least + free * tf.nn.softmax(logits))

        return tfp.bijectors.RationalQuadraticSpline(
            lengths(widths),
            lengths(heights),
            least + tf.nn.softplus(slopes + math.log(math.expm1(1 - least))),
            range_min=-self._bound,
        )
