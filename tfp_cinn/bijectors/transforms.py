"""Transforms: what a coupling does to the active entries, given their parameters."""

from __future__ import annotations

import abc
import functools
import math

import keras
import tensorflow as tf

from tfp_cinn.bijectors.clamps import CLAMPS
from tfp_cinn.bijectors.serialization import Saved
from tfp_cinn.errors import UsageError

__all__ = ["Additive", "Affine", "RationalQuadraticSpline", "Transform", "check_transform"]


class Transform(Saved, abc.ABC):
    """An invertible map of x, entry by entry, with parameters from a subnet.

    Both methods take a tensor `[N, ..., C]` and its parameters, `[N, ..., params_per_channel * C]`,
    and return the mapped tensor and the log of its slope at each entry, of the same shape, nats.
    Zero parameters should give the identity: new subnets return zeros.

    To be saved, a subclass is registered with `keras.saving.register_keras_serializable` and keeps
    its constructor's argument `a` as the attribute `_a` or `a`.

    Attributes:
        params_per_channel: number of parameters for each channel.
    """

    params_per_channel: int

    @abc.abstractmethod
    def inverse(self, x: tf.Tensor, params: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map data to latents: return z and log|dz/dx|."""

    @abc.abstractmethod
    def forward(self, z: tf.Tensor, params: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map latents to data: return x and log|dx/dz|."""


def check_transform(transform: Transform) -> None:
    """Raise a UsageError unless it is a `Transform`."""
    if not isinstance(transform, Transform):
        raise UsageError(
            "transform: expected a Transform, such as tfp_cinn.bijectors.RationalQuadraticSpline(),"
            f" got {transform!r}"
        )


@keras.saving.register_keras_serializable("tfp_cinn")
class Affine(Transform):
    """z = x * exp(a(s)) + t with parameters [s | t] and a soft clamp a to (-clamp, clamp).

    Args:
        clamp: bound of the log-scale, nats.
        clamp_type: "arctan" (the paper's), "arctan_unscaled" (that of FrEIA since then), "tanh" or
            "sigmoid".
    """

    params_per_channel = 2

    def __init__(self, clamp: float = 2.0, clamp_type: str = "arctan"):
        if clamp_type not in CLAMPS:
            raise UsageError(f"clamp_type: expected one of {', '.join(CLAMPS)}, got {clamp_type!r}")
        if not clamp > 0:
            raise UsageError(f"clamp: expected a positive bound of the log-scale, got {clamp}")
        self.clamp, self.clamp_type = float(clamp), clamp_type

    def inverse(self, x, params):
        """Return z = x * exp(a(s)) + t and a(s)."""
        log_scale, t = self._split(params)
        return x * tf.exp(log_scale) + t, log_scale

    def forward(self, z, params):
        """Return x = (z - t) * exp(-a(s)) and -a(s)."""
        log_scale, t = self._split(params)
        return (z - t) * tf.exp(-log_scale), -log_scale

    def _split(self, params):
        s, t = tf.split(params, 2, axis=-1)
        return CLAMPS[self.clamp_type](s, self.clamp), t


@keras.saving.register_keras_serializable("tfp_cinn")
class Additive(Transform):
    """z = x + t with parameters t; volume preserving."""

    params_per_channel = 1

    def inverse(self, x, params):
        """Return z = x + t and 0."""
        return x + params, tf.zeros_like(x)

    def forward(self, z, params):
        """Return x = z - t and 0."""
        return z - params, tf.zeros_like(z)


@keras.saving.register_keras_serializable("tfp_cinn")
class RationalQuadraticSpline(Transform):
    r"""Monotone rational quadratic spline on [-bound, bound], the identity outside.

    Between the knots (x_k, y_k) and (x_k+1, y_k+1), with slopes d_k and d_k+1 there, w and h the
    width and height of the piece, s = h / w and xi = (x - x_k) / w:

        z = y_k + h * xi * (s * xi + d_k * (1 - xi)) / q
        dz/dx = s^2 * (d_k+1 * xi^2 + 2 * s * xi * (1 - xi) + d_k * (1 - xi)^2) / q^2
        q = s * (xi^2 + (1 - xi)^2) + (d_k + d_k+1) * xi * (1 - xi)

    The slope is 1 at both bounds. No piece is narrower or lower than a thousandth of the range, and
    no knot less steep than 0.001. Zero parameters give the identity.

    Source: Durkan, Bekasov, Murray and Papamakarios, "Neural Spline Flows", arXiv 1906.04032,
    sec. 3.1, rearranged into sums of positive terms.

    Args:
        bins: number of pieces, 2 to 500.
        bound: where the identity begins.
    """

    def __init__(self, bins: int = 16, bound: float = 5.0):
        if not (isinstance(bins, int) and 2 <= bins <= 500):
            raise UsageError(f"bins: expected a whole number from 2 to 500, got {bins!r}")
        if not 0 < bound < math.inf:
            raise UsageError(f"bound: expected a positive number, got {bound!r}")
        self.bins, self.bound = bins, float(bound)
        self.params_per_channel = 3 * bins - 1

    def inverse(self, x, params):
        """Map data to latents: return z and log dz/dx."""
        return _encoded(x, params, self.bins, self.bound)

    def forward(self, z, params):
        """Map latents to data: return x and log dx/dz."""
        return _decoded(z, params, self.bins, self.bound)


def _traced_once(function):
    """In graphs, share one trace among all calls with such shapes: a flow starts much sooner."""
    traced = tf.function(function, autograph=False)

    @functools.wraps(function)
    def run(*args):
        return function(*args) if tf.executing_eagerly() else traced(*args)

    return run


@_traced_once
def _encoded(x, params, bins, bound):
    unit = _to_unit(x, bound)
    left, low, width, height, *slopes = _piece(unit, params, bins, by_height=False)
    xi = tf.clip_by_value((unit - left) / width, 0.0, 1.0)
    rest, s = 1 - xi, height / width
    z = low + height * xi * (s * xi + slopes[0] * rest) / _q(xi, rest, s, slopes)
    return _or_identity(x, z, _log_slope(xi, rest, s, slopes), bound)


@_traced_once
def _decoded(z, params, bins, bound):
    unit = _to_unit(z, bound)
    left, low, width, height, *slopes = _piece(unit, params, bins, by_height=True)
    eta = tf.clip_by_value((unit - low) / height, 0.0, 1.0)
    rest, s = 1 - eta, height / width
    # The discriminant is a sum of squares, so that rounding can't make it negative; xi and 1 - xi
    # are fractions of positive terms, so that nothing cancels.
    e = slopes[0] * rest - slopes[1] * eta
    p = tf.abs(e) + tf.sqrt(e**2 + 4 * s**2 * eta * rest)
    near = 2 * s * tf.where(e < 0, rest, eta)
    small, large = near / (p + near), p / (p + near)
    xi, rest = tf.where(e < 0, large, small), tf.where(e < 0, small, large)
    return _or_identity(z, left + width * xi, -_log_slope(xi, rest, s, slopes), bound)


def _to_unit(u, bound):
    """Map [-bound, bound] to [0, 1]."""
    return tf.clip_by_value(u / (2 * bound) + 0.5, 0.0, 1.0)


def _piece(unit, params, bins, by_height):
    """Where each entry's piece begins in x and in y, its width, its height, and its slopes."""
    params = tf.reshape(params, [-1, *unit.shape[1:], 3 * bins - 1])
    widths, heights, slopes = tf.split(params, [bins, bins, bins - 1], axis=-1)
    least = 1e-3
    # Few operations, of all that is alike: on small tensors each costs more than its numbers.
    lengths = least + (1 - least * bins) * tf.nn.softmax(tf.stack([widths, heights], axis=-2))
    starts = tf.cumsum(lengths, axis=-1, exclusive=True)
    slopes = least + tf.nn.softplus(slopes + math.log(math.expm1(1 - least)))
    end = tf.ones_like(slopes[..., :1])
    slopes = tf.stack(
        [tf.concat([end, slopes], axis=-1), tf.concat([slopes, end], axis=-1)], axis=-2
    )
    passed = unit[..., tf.newaxis] >= starts[..., int(by_height), 1:]
    index = tf.reduce_sum(tf.cast(passed, tf.int32), axis=-1)
    piece = tf.one_hot(index, bins, dtype=unit.dtype)[..., tf.newaxis, :]
    table = tf.concat([starts, lengths, slopes], axis=-2)
    return tf.unstack(tf.reduce_sum(table * piece, axis=-1), axis=-1)


def _or_identity(u, unit, log_slope, bound):
    inside = tf.abs(u) < bound
    value = tf.where(inside, bound * (2 * unit - 1), u)
    return value, tf.where(inside, log_slope, tf.zeros_like(u))


def _q(xi, rest, s, slopes):
    return s * (xi**2 + rest**2) + (slopes[0] + slopes[1]) * xi * rest


def _log_slope(xi, rest, s, slopes):
    numerator = slopes[1] * xi**2 + 2 * s * xi * rest + slopes[0] * rest**2
    return 2 * tf.math.log(s / _q(xi, rest, s, slopes)) + tf.math.log(numerator)
