"""Composition of bijectors."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.foreign import Foreign
from tfp_cinn.bijectors.recompute import add_up, after
from tfp_cinn.bijectors.shapes import leaves
from tfp_cinn.errors import UsageError

__all__ = ["Chain"]

tfb = tfp.bijectors


@keras.saving.register_keras_serializable("tfp_cinn")
class Chain(ConditionalBijector):
    r"""Composition of bijectors, listed from the data to the latent side.

    With `Chain([a, b, c])`:

        x = a(b(c(z; cond); cond); cond),    log|det dx/dz| = sum of the three

    so that a touches the data first when encoding, as in TFP's `tfb.Chain`. The same `cond` is
    handed to every member. TFP's own bijectors may be members, with constants as their parameters;
    they are given no condition, and a chain that holds one can't be saved by Keras.

    Args:
        bijectors: the members, data side first; at least one.

    Raises:
        UsageError: if a member isn't a bijector, is one of TFP's that has variables, or the event
            ranks of neighbors don't fit.
    """

    def __init__(self, bijectors: Sequence[tfb.Bijector], name: str | None = None):
        bijectors = list(bijectors)
        for b in bijectors:
            if not isinstance(b, tfb.Bijector):
                raise UsageError(f"Chain: expected bijectors, got {type(b).__name__}")
        if not bijectors:
            raise UsageError("Chain: expected at least one bijector, got none")
        bijectors = [b if isinstance(b, ConditionalBijector) else Foreign(b) for b in bijectors]
        super().__init__(*_event_ndims(bijectors), name=name)
        self._bijectors = bijectors

    @property
    def bijectors(self) -> list[ConditionalBijector]:
        """The members, data side first."""
        return list(self._bijectors)

    def members(self) -> tuple[ConditionalBijector, ...]:
        """The bijectors, data side first."""
        return tuple(self._bijectors)

    def label(self, index: int | None = None) -> str:
        """`Chain`, or `Chain[index]` for a member's place."""
        return super().label() + (f"[{index}]" if index is not None else "")

    def _build(self, event_shape, cond_shape):
        for b in self._bijectors:
            b.build(event_shape, cond_shape)
            event_shape = b.latent_shape

    def inverse_steps(self, x, cond):
        """Yield each member with the output of those before it, and the condition."""
        before = None
        for b in self._bijectors:
            if before is not None:
                x, _ = before._inverse_and_log_det(x, cond)
            yield b, x, cond
            before = b

    def _inverse_and_log_det(self, x, cond):
        total = tf.zeros(tf.shape(x)[:1], x.dtype)
        for b in self._bijectors:
            x, log_det = b._inverse_and_log_det(x, cond)
            total += log_det
        return x, total

    def _forward_and_log_det(self, z, cond):
        total = tf.zeros(tf.shape(z)[:1], z.dtype)
        for b in reversed(self._bijectors):
            z, log_det = b._forward_and_log_det(z, cond)
            total += log_det
        return z, total

    def _inverse_vjp(self, z, cond, z_gradient, log_det_gradient, weights):
        cond_gradients = [None] * len(leaves(cond))
        for b in reversed(self._bijectors):
            z, z_gradient, more = b._inverse_vjp(z, cond, z_gradient, log_det_gradient, weights)
            cond_gradients = add_up(cond_gradients, more)
            z = after(z, [z_gradient, *cond_gradients])
        return z, z_gradient, cond_gradients


def _event_ndims(bijectors: list[ConditionalBijector]) -> tuple[int, int]:
    """Event ranks of a chain on the data and on the latent side."""
    # offset: by how much the rank has grown before a member; the data side needs the largest rank
    # that any member asks for.
    offset, needed = 0, []
    for b in bijectors:
        needed.append(b.inverse_min_event_ndims - offset)
        offset += b.forward_min_event_ndims - b.inverse_min_event_ndims
    data_ndims = max(needed)
    for b, n in zip(bijectors, needed, strict=True):
        if b.inverse_min_event_ndims > 1 and n != data_ndims:
            raise UsageError(
                f"Chain: {b.name} takes events of rank {b.inverse_min_event_ndims}, but gets rank "
                f"{data_ndims - n + b.inverse_min_event_ndims}; put a Reshape or Flatten before it"
            )
    return data_ndims, data_ndims + offset
