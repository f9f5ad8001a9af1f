"""Between the condition and a bijector: what `Select` and `Embed` have in common."""

from __future__ import annotations

import abc
from typing import Any

import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector, check_ours
from tfp_cinn.bijectors.recompute import after, leaves
from tfp_cinn.bijectors.serialization import serialize_bijector

__all__ = ["ConditionAdapter"]


class ConditionAdapter(ConditionalBijector):
    """Hands something made of the condition on to a bijector: f(z; g(c)).

    Subclasses choose g; use them instead of this class.

    Args:
        bijector: f, the bijector that is given g(c).
        name: name of the bijector.
    """

    def __init__(self, bijector: ConditionalBijector, name: str | None = None):
        check_ours("bijector", bijector)
        super().__init__(
            bijector.inverse_min_event_ndims, bijector.forward_min_event_ndims, name=name
        )
        self._bijector = bijector

    @abc.abstractmethod
    def adapt(self, cond: Any) -> Any:
        """Returns g(cond), what the bijector is given, for a cond of one batch dimension."""

    @abc.abstractmethod
    def _adapted_shape(self, cond_shape: Any) -> Any:
        """Shape of g(c) without batch dimension, for a c of `cond_shape`; makes g's weights."""

    @property
    def bijector(self) -> ConditionalBijector:
        """The bijector that is given g(c)."""
        return self._bijector

    def members(self) -> tuple[ConditionalBijector, ...]:
        """The bijector."""
        return (self._bijector,)

    def inverse_steps(self, x, cond):
        """Yields the bijector with x and g(cond)."""
        yield self._bijector, x, self.adapt(cond)

    def _build(self, event_shape, cond_shape):
        self._bijector.build(event_shape, self._adapted_shape(cond_shape))

    def _forward_and_log_det(self, z, cond):
        return self._bijector._forward_and_log_det(z, self.adapt(cond))

    def _inverse_and_log_det(self, x, cond):
        return self._bijector._inverse_and_log_det(x, self.adapt(cond))

    def _inverse_vjp(self, z, cond, z_gradient, log_det_gradient, weights):
        # Without waiting, g would run again as soon as it has run for the first time.
        if cond is not None:
            cond = tf.nest.map_structure(lambda c: after(c, [z_gradient]), cond)
        with tf.GradientTape() as tape:
            tape.watch(leaves(cond))
            adapted = self.adapt(cond)
        x, x_gradient, gradients = self._bijector._inverse_vjp(
            z, adapted, z_gradient, log_det_gradient, weights
        )
        return x, x_gradient, weights.pull_back(tape, leaves(adapted), gradients, leaves(cond))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments.

        Raises:
            UsageError: if Keras couldn't rebuild the bijector.
        """
        bijector = serialize_bijector(self.name, self._bijector)
        return super().get_config() | {"bijector": bijector}
