"""Between the condition and a bijector: pick a part of it, or run a network on it."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector, check_ours
from tfp_cinn.bijectors.recompute import after
from tfp_cinn.bijectors.shapes import leaves, map_shape, shape_of_one
from tfp_cinn.errors import UsageError, reason

__all__ = ["ConditionAdapter", "Embed", "Select"]


class ConditionAdapter(ConditionalBijector):
    """Hands something made of the condition on to a bijector: f(z; g(c)).

    Subclasses choose g; use them instead of this class.

    Args:
        bijector: f, the bijector that is given g(c).
    """

    def __init__(self, bijector: ConditionalBijector, name: str | None = None):
        check_ours("bijector", bijector)
        super().__init__(
            bijector.inverse_min_event_ndims, bijector.forward_min_event_ndims, name=name
        )
        self._bijector = bijector

    @abc.abstractmethod
    def adapt(self, cond: Any) -> Any:
        """Return g(cond), what the bijector is given, for a cond of one batch dimension."""

    @abc.abstractmethod
    def _adapted_shape(self, cond_shape: Any) -> Any:
        """Shape of g(c) without batch dimension, for a c of `cond_shape`; makes g's weights."""

    @property
    def bijector(self) -> ConditionalBijector:
        """The bijector that is given g(c)."""
        return self._bijector

    def members(self) -> tuple[ConditionalBijector, ...]:
        """Return the bijector."""
        return (self._bijector,)

    def inverse_steps(self, x, cond):
        """Yield the bijector with x and g(cond)."""
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


@keras.saving.register_keras_serializable("tfp_cinn")
class Select(ConditionAdapter):
    """Hands the entry `key` of a dict condition on to a bijector: f(z; cond[key]).

    With the key None it hands nothing on, so that a chain may have members that see no condition.

    Args:
        key: which entry of the condition, or None for none.
        bijector: the bijector that is conditioned on that entry.
    """

    def __init__(self, key: str | None, bijector: ConditionalBijector, name: str | None = None):
        super().__init__(bijector, name=name)
        self._key = key

    @property
    def key(self) -> str | None:
        """Which entry of the condition is handed on; None for none."""
        return self._key

    @property
    def conditional(self) -> bool:
        """Whether an entry of the condition is handed on."""
        return self._key is not None

    def adapt(self, cond: Any) -> Any:
        """Return `cond[key]`, or None."""
        return None if self._key is None else cond[self._key]

    def label(self, index: int | None = None) -> str:
        """Return `Select` with the key."""
        return f"Select({self._key!r})"

    def _adapted_shape(self, cond_shape):
        if self._key is None:
            return None
        if not isinstance(cond_shape, Mapping) or self._key not in cond_shape:
            has = sorted(cond_shape) if isinstance(cond_shape, Mapping) else "no keys"
            raise UsageError(
                f"{self.name}: expected a dict condition with key {self._key!r}, got {has}"
            )
        return cond_shape[self._key]


@keras.saving.register_keras_serializable("tfp_cinn")
class Embed(ConditionAdapter):
    r"""Hands a network's output for the condition on to a bijector: f(z; network(c)).

    The network is trained with the flow. All subnets of the bijector, a coupling or a chain of
    them, are given its output, as in each coupling block of the paper's ImageNet network.

    `CINN.fit` runs the network as Keras does in training: with dropout, and with batch
    normalization by the statistics of the batch. Everywhere else (`log_prob`, `sample`, `encode`,
    `decode`, validation) it runs in inference mode: no row sees another, and decoding undoes
    encoding. It runs once a call for every row of x, also where several rows, such as the samples
    of one condition, share theirs.

    Args:
        network: a Keras layer or model of one batch dimension.
        bijector: f, the bijector that is given the network's output.

    Raises:
        UsageError: if the network isn't a Keras layer; when it is built, if there is no condition
            or the network can't take it.
    """

    conditional = True  # even if only the network looks at the condition

    def __init__(
        self, network: keras.layers.Layer, bijector: ConditionalBijector, name: str | None = None
    ):
        if not isinstance(network, keras.layers.Layer):
            raise UsageError(f"network: expected a Keras layer or model, got {network!r}")
        super().__init__(bijector, name=name)
        self._network = network

    @property
    def network(self) -> keras.layers.Layer:
        """The network of the condition."""
        return self._network

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The network, and the Keras layers of the bijector."""
        return [self._network, *super().layers]

    def adapt(self, cond: Any) -> Any:
        """Return network(cond), in the dtype of cond."""
        dtype = leaves(cond)[0].dtype
        return tf.nest.map_structure(lambda f: tf.cast(f, dtype), self._network(cond))

    def _adapted_shape(self, cond_shape):
        if cond_shape is None:
            raise UsageError(f"{self.name}: expected a condition for its network, got none")
        zeros = map_shape(lambda s: tf.zeros((1, *s), keras.config.floatx()), cond_shape)
        try:
            features = self._network(zeros)
        except UsageError:
            raise
        except ValueError as error:
            raise UsageError(
                f"{self.name}: its network {self._network.name} can't take a condition of shape "
                f"{cond_shape} ({reason(error)})"
            ) from error
        return shape_of_one(self.name, features, 1)
