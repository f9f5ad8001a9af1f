"""Summary networks: one vector of a set of points, or of a series, of any length.

Each takes values `[N, M, D]`, or two parts, NAME `[N, M, D]` and NAME_mask `[N, M]`: 1 where there
is a point or a time step, 0 where the values are padding, any finite numbers.

    model = CINN(flow, (5,), DeepSet(), cond_shape={"points": (8, 2), "points_mask": (8,)})
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from tfp_cinn.errors import UsageError
from tfp_cinn.networks.subnets import check_widths

__all__ = ["DeepSet", "SeriesFeatures", "SetTransformer"]


class _Summary(keras.layers.Layer):
    """A layer from points and their mask, `[N, M, 1]`, to `[N, units]`."""

    def __init__(self, units: int, width: int, **kwargs):
        check_widths([units, width])
        super().__init__(**kwargs)
        self.units, self.width = int(units), int(width)

    def _summarize(self, points, there):
        raise NotImplementedError

    def call(self, inputs):
        """Return the vector `[N, units]`.

        Raises:
            UsageError: if the input isn't as the module says.
        """
        name, mask = _names(inputs)
        points = inputs if name is None else inputs[name]
        if mask is None:
            there = ops.ones_like(points[..., :1])
        else:
            there = ops.cast(inputs[mask] > 0, points.dtype)[..., None]
        return self._summarize(ops.where(there > 0, points, ops.zeros_like(points)), there)

    def _dense(self, units, activation=None):
        return keras.layers.Dense(units, activation=activation, dtype=self.dtype_policy)

    def compute_output_shape(self, input_shape):
        """Return the shape `[N, units]`."""
        return _points_shape(input_shape)[0], self.units

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {"units": self.units, "width": self.width}


@keras.saving.register_keras_serializable("tfp_cinn")
class DeepSet(_Summary):
    r"""Vector of a set, whatever the order of its points (Zaheer et al. 2017, arXiv:1703.06114).

        y = rho(1/n sum_i phi(x_i), log(1 + n))

    over the n points that are there, with two layers in phi and in rho each.

    Args:
        units: length of y.
        width: of the hidden layers.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, units: int = 64, width: int = 64, **kwargs):
        super().__init__(units, width, **kwargs)
        self._phi = [self._dense(self.width, "silu") for _ in range(2)]
        self._rho = [self._dense(self.width, "silu"), self._dense(self.units)]

    def build(self, input_shape):
        """Create the weights."""
        _build_in_turn(self._phi, _points_shape(input_shape)[-1])
        _build_in_turn(self._rho, self.width + 1)

    def _summarize(self, points, there):
        for layer in self._phi:
            points = layer(points)
        count = ops.sum(there, axis=1)
        vector = ops.sum(points * there, axis=1) / ops.maximum(count, 1)
        vector = ops.concatenate([vector, ops.log1p(count)], axis=-1)
        for layer in self._rho:
            vector = layer(vector)
        return vector


@keras.saving.register_keras_serializable("tfp_cinn")
class SetTransformer(_Summary):
    """Vector of a set whose points attend to each other (Lee et al. 2019, arXiv:1810.00825).

        x <- block(x, block(I_k, x)) for each k,    y = dense(block(S, x), log(1 + n))

    where I_k are `induced` learned points through which the n points of the set see each other, at
    a cost of n, S is one learned query, and block(q, x) attends from q to x, with the residuals,
    layer normalization and dense layers of a transformer. The order of the points doesn't matter.

    Args:
        units: length of y.
        width: of the points inside; a multiple of `heads`.
        heads: of the attention.
        induced: number of learned points.
        blocks: number of I_k.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self,
        units: int = 64,
        width: int = 64,
        heads: int = 4,
        induced: int = 16,
        blocks: int = 2,
        **kwargs,
    ):
        super().__init__(units, width, **kwargs)
        check_widths([heads, induced, blocks])
        self.heads, self.induced, self.blocks = int(heads), int(induced), int(blocks)
        self._embed, self._last = self._dense(self.width), self._dense(self.units)
        attention = [_Attention(width, heads, dtype=self.dtype_policy) for _ in range(2 * blocks)]
        self._gather, self._spread = attention[:blocks], attention[blocks:]
        self._pool = _Attention(width, heads, dtype=self.dtype_policy)

    def build(self, input_shape):
        """Create the weights."""
        self._embed.build((None, None, _points_shape(input_shape)[-1]))
        for layer in (*self._gather, *self._spread, self._pool):
            layer.build((None, None, self.width))
        self._last.build((None, self.width + 1))
        self._points = [_queries(self, self.induced) for _ in range(self.blocks)]
        self._query = _queries(self, 1)

    def _summarize(self, points, there):
        points = self._embed(points) * there
        for learned, gather, spread in zip(self._points, self._gather, self._spread, strict=True):
            seen = gather(_repeat(learned, points), points, there)
            points = spread(points, seen) * there
        vector = self._pool(_repeat(self._query, points), points, there)[:, 0]
        count = ops.sum(there, axis=1)
        return self._last(ops.concatenate([vector, ops.log1p(count)], axis=-1))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {"heads": self.heads, "induced": self.induced, "blocks": self.blocks}
        return super().get_config() | own


@keras.saving.register_keras_serializable("tfp_cinn")
class SeriesFeatures(_Summary):
    """Vector of a series: strided convolutions, then learned queries that attend to their output.

        x <- dense(x, sin(w t), cos(w t)),    x <- silu(conv(x)) for each layer,
        y = dense(block(S_1, x), ..., block(S_4, x), log(1 + n))

    with time steps t = 0, 1, ..., eight frequencies w, kernels of 3 and strides of 2, and block as
    in `SetTransformer`. Time steps are told apart by their place, so that those which are missing
    may be anywhere.

    Args:
        units: length of y.
        width: of the time steps inside; a multiple of `heads`.
        heads: of the attention.
        layers: number of convolutions; each halves the length.
        **kwargs: of `keras.layers.Layer`.
    """

    _QUERIES = 4
    _PERIODS = [4.0 * 3.0**k for k in range(8)]

    def __init__(self, units: int = 64, width: int = 64, heads: int = 4, layers: int = 2, **kwargs):
        super().__init__(units, width, **kwargs)
        check_widths([heads])
        self.heads, self.layers = int(heads), int(layers)
        self._embed, self._last = self._dense(self.width), self._dense(self.units)
        self._convolutions = [
            keras.layers.Conv1D(width, 3, strides=2, activation="silu", dtype=self.dtype_policy)
            for _ in range(layers)
        ]
        self._pool = _Attention(width, heads, dtype=self.dtype_policy)

    def build(self, input_shape):
        """Create the weights."""
        self._embed.build((None, None, _points_shape(input_shape)[-1] + 2 * len(self._PERIODS)))
        for layer in (*self._convolutions, self._pool):
            layer.build((None, None, self.width))
        self._last.build((None, self._QUERIES * self.width + 1))
        self._query = _queries(self, self._QUERIES)

    def _summarize(self, points, there):
        time = ops.arange(ops.shape(points)[1], dtype=points.dtype)[:, None]
        angles = time * ops.convert_to_tensor(
            [2 * math.pi / period for period in self._PERIODS], points.dtype
        )
        places = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
        x = ops.concatenate([points, _repeat(places, points)], axis=-1)
        x, count = self._embed(x) * there, ops.sum(there, axis=1)
        for layer in self._convolutions:
            there = ops.max_pool(there, 2, 2, padding="same")
            # One on each side, whatever the length: padding a series at its end changes nothing.
            x = layer(ops.pad(x, ((0, 0), (1, 1), (0, 0)))) * there
        vector = self._pool(_repeat(self._query, x), x, there)
        vector = ops.reshape(vector, (-1, self._QUERIES * self.width))
        return self._last(ops.concatenate([vector, ops.log1p(count)], axis=-1))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {"heads": self.heads, "layers": self.layers}


class _Attention(keras.layers.Layer):
    """block(q, x) = norm(h + dense(silu(dense(h)))) with h = norm(q + attention(q, x))."""

    def __init__(self, width: int, heads: int, **kwargs):
        super().__init__(**kwargs)
        if width % heads:
            raise UsageError(f"width: expected a multiple of the {heads} heads, got {width}")
        same = {"dtype": self.dtype_policy}
        # Without biases: that of the keys would have no gradient.
        self._attention = keras.layers.MultiHeadAttention(
            heads, width // heads, use_bias=False, **same
        )
        self._dense = [
            keras.layers.Dense(width, activation="silu", **same),
            keras.layers.Dense(width, **same),
        ]
        self._norms = [keras.layers.LayerNormalization(**same) for _ in range(2)]

    def build(self, input_shape):
        self._attention.build(input_shape, input_shape)
        _build_in_turn(self._dense, input_shape[-1])
        for norm in self._norms:
            norm.build(input_shape)

    def call(self, queries, points, there=None):
        """Return `[N, queries, width]`; points that aren't there are zero, and aren't seen."""
        mask = None if there is None else ops.swapaxes(there, 1, 2) > 0
        seen = self._attention(queries, points, attention_mask=mask)
        h = self._norms[0](queries + seen)
        return self._norms[1](h + self._dense[1](self._dense[0](h)))


def _names(inputs: Any) -> tuple[str | None, str | None]:
    """Return the names of the values and of their mask; None for a tensor, or shape, alone."""
    if not isinstance(inputs, Mapping):
        return None, None
    name = min(inputs, key=len)
    if sorted(inputs) != sorted([name, f"{name}_mask"]):
        raise UsageError(
            f"expected values [N, M, D], or NAME and NAME_mask, got {', '.join(sorted(inputs))}"
        )
    return name, f"{name}_mask"


def _points_shape(input_shape: Any) -> tuple[int | None, ...]:
    name, mask = _names(input_shape)
    shape = tuple(input_shape if name is None else input_shape[name])
    if len(shape) != 3 or (mask is not None and len(input_shape[mask]) != 2):
        raise UsageError(
            f"expected values [N, M, D], with a mask of [N, M] or none, got {input_shape}"
        )
    return shape


def _build_in_turn(layers, size):
    for layer in layers:
        layer.build((None, size))
        size = layer.units


def _queries(layer, number):
    return layer.add_weight((number, layer.width), "glorot_uniform")


def _repeat(rows, batch):
    """Return `[N, ...]`, the same rows for each of a batch."""
    return ops.broadcast_to(rows, (ops.shape(batch)[0], *rows.shape))
