"""Composition of bijectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.recompute import Pass, add_up, after, leaves, vjp_by_decoding
from tfp_cinn.bijectors.serialization import serialize_bijector
from tfp_cinn.bijectors.shapes import Shape
from tfp_cinn.errors import UsageError

__all__ = ["Chain"]

tfb = tfp.bijectors


@keras.saving.register_keras_serializable("tfp_cinn")
class Chain(ConditionalBijector):
    r"""Composition of bijectors, listed from the data to the latent side.

    With `Chain([a, b, c])`:

        x = a(b(c(z; cond); cond); cond),    log|det dx/dz| = sum of the three

    so that a touches the data first when encoding, as in TFP's `tfb.Chain`. The same `cond` is
    handed to every member. Ordinary TFP bijectors may be members; they are given no condition.

    Args:
        bijectors: the members, data side first; at least one.
        name: name of the bijector.

    Raises:
        UsageError: if a member isn't a bijector, or the event ranks of neighbors don't fit.
    """

    def __init__(self, bijectors: Sequence[tfb.Bijector], name: str | None = None):
        bijectors = list(bijectors)
        for b in bijectors:
            if not isinstance(b, tfb.Bijector):
                raise UsageError(f"Chain: expected bijectors, got {type(b).__name__}")
        if not bijectors:
            raise UsageError("Chain: expected at least one bijector, got none")
        data_ndims, latent_ndims = _event_ndims(bijectors)
        super().__init__(data_ndims, latent_ndims, name=name)
        self._bijectors = bijectors

    @property
    def bijectors(self) -> list[tfb.Bijector]:
        """The members, data side first."""
        return list(self._bijectors)

    @property
    def conditional(self) -> bool:
        """Whether any member looks at the condition."""
        return any(_is_ours(b) and b.conditional for b in self._bijectors)

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The Keras layers of all members, data side first."""
        return [layer for b in self._bijectors if _is_ours(b) for layer in b.layers]

    def _build(self, event_shape, cond_shape):
        for b in self._bijectors:
            if _is_ours(b):
                b.build(event_shape, cond_shape)
            event_shape = tuple(b.inverse_event_shape(tf.TensorShape(event_shape)))

    def _latent_shape(self, event_shape):
        for b in self._bijectors:
            event_shape = tuple(b.inverse_event_shape(tf.TensorShape(event_shape)))
        return event_shape

    def _data_shape(self, latent_shape) -> Shape | None:
        if self.event_shape is not None:
            return self.event_shape
        for b in reversed(self._bijectors):
            latent_shape = (
                b._data_shape(latent_shape)
                if _is_ours(b)
                else tuple(b.forward_event_shape(tf.TensorShape(latent_shape)))
            )
            if latent_shape is None:
                return None
        return latent_shape

    def _latent_scales(self):
        last = self._bijectors[-1]
        return last.latent_scales if _is_ours(last) else super()._latent_scales()

    def inverse_steps(
        self, x: tf.Tensor, cond: Any = None
    ) -> Iterator[tuple[tfb.Bijector, tf.Tensor, tf.Tensor]]:
        """Encodes x member by member.

        Args:
            x: data with one batch dimension, `[N, *event_shape]`; the chain has to be built.
            cond: the condition of x.

        Yields:
            Each member, data side first, its output, and its log-determinant, `[N]`.
        """
        for b in self._bijectors:
            x, log_det = _inverse(b)(x, cond)
            yield b, x, log_det

    def _inverse_and_log_det(self, x, cond):
        total = tf.zeros(tf.shape(x)[:1], x.dtype)
        z = x
        for _, z, log_det in self.inverse_steps(x, cond):  # noqa: B007
            total += log_det
        return z, total

    def _forward_and_log_det(self, z, cond):
        total = tf.zeros(tf.shape(z)[:1], z.dtype)
        for b in reversed(self._bijectors):
            z, log_det = _forward(b)(z, cond)
            total += log_det
        return z, total

    def _inverse_vjp(self, z, cond, z_gradient, log_det_gradient, weights):
        cond_gradients = [None] * len(leaves(cond))
        for b in reversed(self._bijectors):
            gradients = z_gradient, log_det_gradient
            if _is_ours(b):
                z, z_gradient, more = b._inverse_vjp(z, cond, *gradients, weights)
            else:
                passes = _forward(b), _inverse(b)
                z, z_gradient, more = vjp_by_decoding(*passes, z, cond, *gradients, weights)
            cond_gradients = add_up(cond_gradients, more)
            z = after(z, [z_gradient, *cond_gradients])
        return z, z_gradient, cond_gradients

    def _calibrate(self, x, cond):
        for b in self._bijectors:
            if _is_ours(b):
                b._calibrate(x, cond)
            x, _ = _inverse(b)(x, cond)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments.

        Raises:
            UsageError: if Keras couldn't rebuild a member, such as one of TFP's own.
        """
        return {
            "bijectors": [serialize_bijector(self.name, b) for b in self._bijectors],
            "name": self.name,
        }


def _is_ours(bijector: tfb.Bijector) -> bool:
    return isinstance(bijector, ConditionalBijector)


def _forward(bijector: tfb.Bijector) -> Pass:
    """One pass of a member from the latent to the data side."""
    if _is_ours(bijector):
        return bijector._forward_and_log_det

    def run(z, cond):
        # TFP's own cache would answer for old weights: show it a tensor it never saw.
        z = tf.identity(z)
        log_det = bijector.forward_log_det_jacobian(z, event_ndims=z.shape.rank - 1)
        return bijector.forward(z), log_det

    return run


def _inverse(bijector: tfb.Bijector) -> Pass:
    """One pass of a member from the data to the latent side."""
    if _is_ours(bijector):
        return bijector._inverse_and_log_det

    def run(x, cond):
        x = tf.identity(x)
        log_det = bijector.inverse_log_det_jacobian(x, event_ndims=x.shape.rank - 1)
        return bijector.inverse(x), log_det

    return run


def _event_ndims(bijectors: list[tfb.Bijector]) -> tuple[int, int]:
    """Event ranks of a chain on the data and on the latent side."""
    # offset: by how much the rank has grown before a member; the data side needs the largest rank
    # that any member asks for.
    offset, needed = 0, []
    for b in bijectors:
        needed.append(b.inverse_min_event_ndims - offset)
        offset += b.forward_min_event_ndims - b.inverse_min_event_ndims
    data_ndims = max(needed)
    for b, n in zip(bijectors, needed, strict=True):
        if b.inverse_min_event_ndims > 1 and n != data_ndims and _is_ours(b):
            raise UsageError(
                f"Chain: {b.name} takes events of rank {b.inverse_min_event_ndims}, but gets rank "
                f"{data_ndims - n + b.inverse_min_event_ndims}; put a Reshape or Flatten before it"
            )
    return data_ndims, data_ndims + offset
