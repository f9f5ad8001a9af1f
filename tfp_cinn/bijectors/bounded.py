"""Data between bounds, positive data."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.shapes import sum_event
from tfp_cinn.errors import UsageError

__all__ = ["Bounded", "Exp", "Softplus"]

Bound = float | None | Sequence[float | None]


@keras.saving.register_keras_serializable("tfp_cinn")
class Bounded(ConditionalBijector):
    r"""Takes data that lie between bounds to the whole line, entry by entry of the last axis.

    Encoding x with low < x < high:

        both bounds    z = log((x - low) / (high - x))
        low alone      z = softplus^-1(x - low)
        high alone     z = -softplus^-1(high - x)
        no bound       z = x

    softplus(z) = log(1 + e^z) is used beside one bound since it is e^z next to that and z far away
    from it, so that large x stay large z and no sample overflows; `Exp` is for data whose logarithm
    is what varies evenly.

    Log-determinants are computed from both distances to the bounds, x - low and high - x, and are
    as exact as x next to either. Samples lie strictly inside, also where rounding would put them on
    a bound. A value on a bound or beyond has no latent: in eager mode it raises, in a graph its
    row is NaN.

    Args:
        low: lower bound, a number or one for each entry of the last axis; None or -inf for none.
        high: upper bound, likewise; None or inf for none.

    Raises:
        UsageError: if low isn't below high; when it is built, if their number doesn't fit; in eager
            mode, if a value isn't inside the bounds.
    """

    conditional = False

    def __init__(self, low: Bound = None, high: Bound = None, name: str | None = None):
        super().__init__(1, name=name)
        self._low = self._no_dependency(_as_array(low, -np.inf))
        self._high = self._no_dependency(_as_array(high, np.inf))
        if max(self._low.ndim, self._high.ndim) > 1 or (
            self._low.ndim == self._high.ndim and self._low.shape != self._high.shape
        ):
            raise UsageError(
                f"{self.name}: expected one bound, or as many low as high ones, got "
                f"{low} and {high}"
            )
        if not np.all(self._low < self._high):
            raise UsageError(f"{self.name}: expected low < high, got low={low} and high={high}")

    def _build(self, event_shape, cond_shape):
        for bound in (self._low, self._high):
            if bound.shape not in ((), event_shape[-1:]):
                raise UsageError(
                    f"{self.name}: expected one bound or one for each of {event_shape[-1]} entries "
                    f"of the last axis, got {bound.tolist()}"
                )

    def _inverse_and_log_det(self, x, cond):
        return self._by_kind(_check_support(self.name, x, self._low, self._high), _ENCODE)

    def _forward_and_log_det(self, z, cond):
        return self._by_kind(z, _DECODE)

    def _by_kind(self, t, maps):
        """Map each entry as its bounds ask for; return that and the sum of the log-slopes."""
        low, high = np.broadcast_arrays(self._low, self._high)
        kinds = np.isfinite(low) + 2 * np.isfinite(high)
        found = [(kind, np.flatnonzero(kinds == kind)) for kind in np.unique(kinds)]
        if len(found) == 1:
            value, log_slope = maps[found[0][0]](t, low, high)
            return value, sum_event(log_slope)
        values, total = [], 0.0
        for kind, entries in found:
            part = tf.gather(t, entries, axis=-1)
            value, log_slope = maps[kind](part, low[entries], high[entries])
            values.append(value)
            total += sum_event(log_slope)
        order = np.argsort(np.concatenate([entries for _, entries in found]))
        return tf.gather(tf.concat(values, axis=-1), order, axis=-1), total


@keras.saving.register_keras_serializable("tfp_cinn")
class Softplus(Bounded):
    r"""Positive data as the softplus of latents: x = log(1 + e^z), each entry for itself.

        encoding: z = x + log(1 - e^-x),    log|det dz/dx| = -sum log(1 - e^-x)

    z is log x next to zero and x far away from it. It is `Bounded(low=0)`.

    Raises:
        UsageError: in eager mode, if a value isn't positive; in a graph its row is NaN.
    """

    def __init__(self, name: str | None = None):
        super().__init__(low=0.0, name=name)


@keras.saving.register_keras_serializable("tfp_cinn")
class Exp(ConditionalBijector):
    r"""Positive data by their logarithm: x = e^z, each entry for itself.

        encoding: z = log x,    log|det dz/dx| = -sum log x

    In float32 samples overflow at z > 88; `Softplus` grows linearly.

    Raises:
        UsageError: in eager mode, if a value isn't positive; in a graph its row is NaN.
    """

    conditional = False

    def __init__(self, name: str | None = None):
        super().__init__(1, name=name)

    def _inverse_and_log_det(self, x, cond):
        z = tf.math.log(_check_support(self.name, x, _ZERO, _INFINITY))
        return z, -sum_event(z)

    def _forward_and_log_det(self, z, cond):
        x = _strictly_inside(tf.exp(z), _ZERO, _INFINITY)
        return x, sum_event(z)


_ZERO, _INFINITY = np.array(0.0), np.array(np.inf)


def _check_support(name: str, x: tf.Tensor, low: np.ndarray, high: np.ndarray) -> tf.Tensor:
    """Return x, `[N, ...]`, its rows NaN that aren't between the bounds; in eager mode it raises.

    Args:
        name: who asks, for the error message.
        x: data.
        low: lower bound, a number or one for each entry of the last axis.
        high: upper bound, likewise.

    Raises:
        UsageError: in eager mode, if a value isn't strictly between its bounds.
    """
    bad = (x <= tf.constant(low, x.dtype)) | (x >= tf.constant(high, x.dtype))
    if not tf.executing_eagerly():
        rows = tf.reduce_any(bad, axis=range(1, x.shape.rank), keepdims=True)
        return tf.where(rows, tf.constant(np.nan, x.dtype), x)
    if tf.reduce_any(bad):
        row, *entry = index = tuple(tf.where(bad)[0].numpy())
        value = x.numpy()[index]
        low, high = (np.broadcast_to(end, x.shape[-1:])[entry[-1]] for end in (low, high))
        raise UsageError(
            f"{name}: x row {row} is {value}, outside ({low:g}, {high:g}); correct or drop such "
            "rows, move values on a bound inside, or widen the bounds"
        )
    return x


def _strictly_inside(x: tf.Tensor, low: np.ndarray, high: np.ndarray) -> tf.Tensor:
    """Return x, or the number next to the bound where it isn't strictly between its bounds."""
    info = np.finfo(x.dtype.as_numpy_dtype)

    def gap(bound):  # next to 0 a normal number: processors may flush others to 0
        return np.where(np.isfinite(bound), np.maximum(np.abs(bound) * info.eps, info.tiny), 0.0)

    low, high = low.astype(info.dtype), high.astype(info.dtype)
    limits = low + gap(low), high - gap(high)
    return tf.clip_by_value(x, *(limit.astype(info.dtype) for limit in limits))


def _both_encoded(x, low, high):
    from_low, to_high = x - tf.constant(low, x.dtype), tf.constant(high, x.dtype) - x
    a, b = tf.math.log(from_low), tf.math.log(to_high)
    return a - b, tf.constant(np.log(high - low), x.dtype) - a - b


def _both_decoded(z, low, high):
    # From the nearer bound, so that neither rounds away what is left of the other.
    width = tf.constant(high - low, z.dtype)
    near = width * tf.sigmoid(-tf.abs(z))
    x = tf.where(z < 0, tf.constant(low, z.dtype) + near, tf.constant(high, z.dtype) - near)
    log_slope = tf.constant(np.log(high - low), z.dtype) - tf.nn.softplus(z) - tf.nn.softplus(-z)
    return _strictly_inside(x, low, high), log_slope


def _low_encoded(x, low, high):
    above = x - tf.constant(low, x.dtype)
    # softplus^-1(x) = log(e^x - 1)
    correction = tf.math.log(-tf.math.expm1(-above))
    return above + correction, -correction


def _low_decoded(z, low, high):
    x = tf.constant(low, z.dtype) + tf.nn.softplus(z)
    return _strictly_inside(x, low, high), -tf.nn.softplus(-z)


def _mirrored(function):
    def run(t, low, high):
        value, log_slope = function(-t, -high, -low)
        return -value, log_slope

    return run


def _open(t, low, high):
    return t, tf.zeros_like(t)


# By kind: 1 for a lower bound, 2 for an upper one, 3 for both.
_ENCODE = {0: _open, 1: _low_encoded, 2: _mirrored(_low_encoded), 3: _both_encoded}
_DECODE = {0: _open, 1: _low_decoded, 2: _mirrored(_low_decoded), 3: _both_decoded}


def _as_array(bound, missing):
    """Bounds as numbers; None, alone or among others, is the missing one."""
    try:
        array = np.asarray(bound, object)
        return np.where(np.equal(array, None), missing, array).astype(np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"Bounded: expected numbers or None as bounds, got {bound!r}") from None
