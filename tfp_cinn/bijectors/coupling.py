"""The coupling engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.elementwise import Elementwise
from tfp_cinn.bijectors.recompute import add_up, after, leaves
from tfp_cinn.bijectors.serialization import is_registered
from tfp_cinn.errors import UsageError

__all__ = ["Coupling", "Subnet"]

Subnet = Callable[[int], keras.layers.Layer]


class Coupling(ConditionalBijector):
    r"""Splits the channels into two parts; each in turn is changed, given the other one and c.

    With x = [x_1 | x_2], x_1 of floor(C/2) channels, and for each active part i in `order`:

        v_i = elementwise(x_i; subnet_i([x_j, c]))

    where x_j, j != i, is the other part as it is by then. The Jacobian is a product of triangular
    ones, so that its log-determinant is the sum of the elementwise ones.

    A vector condition meeting feature maps is broadcast over space; a feature map has to have the
    resolution of x. Both are concatenated to the passive part along the channels.

    Subclasses choose the elementwise part and the order; use them instead of this class.

    Args:
        subnet: makes a subnet from its number of output channels. To be saved it has to be
            registered with Keras, as those of `tfp_cinn.networks` are.
        elementwise: what is done to the active part.
        order: the active parts in the order in which data are encoded: (0, 1), (1,), ...
        event_ndims: 1 for vectors `[C]`, 3 for feature maps `[H, W, C]`.
        name: name of the bijector.
    """

    def __init__(
        self,
        subnet: Subnet,
        elementwise: Elementwise,
        order: tuple[int, ...],
        event_ndims: int = 1,
        name: str | None = None,
    ):
        if not callable(subnet) or isinstance(subnet, keras.layers.Layer):
            raise UsageError(
                "subnet: expected a callable from the number of output channels to a Keras layer, "
                f"such as tfp_cinn.networks.MLP(), got {subnet!r}"
            )
        super().__init__(event_ndims, name=name)
        self._subnet = subnet
        self._elementwise = elementwise
        self._order = self._no_dependency(order)
        self._subnets: dict[str, keras.layers.Layer] = {}

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The subnets, in the order in which data are encoded."""
        return [self._subnets[str(i)] for i in self._order] if self._subnets else []

    def _build(self, event_shape, cond_shape):
        channels, spatial = event_shape[-1], event_shape[:-1]
        if len(event_shape) != self.inverse_min_event_ndims:
            raise UsageError(
                f"{self.name}: made for events of rank {self.inverse_min_event_ndims}, got shape "
                f"{event_shape}; set event_ndims={len(event_shape)}"
            )
        if channels < 2:
            raise UsageError(f"{self.name}: expected at least 2 channels to split, got {channels}")
        sizes = (channels // 2, channels - channels // 2)
        cond_channels = self._cond_channels(event_shape, cond_shape)
        subnets = {}
        for active in self._order:
            expected = self._elementwise.params_per_channel * sizes[active]
            layer = self._subnet(expected)
            shape = (*spatial, sizes[1 - active] + cond_channels)
            got = tuple(layer(tf.zeros((1, *shape))).shape[1:])  # builds it as well
            if got != (*spatial, expected):
                raise UsageError(
                    f"{self.name}: expected the subnet to map {shape} to "
                    f"{(*spatial, expected)}, it maps to {got}"
                )
            subnets[str(active)] = layer
        self._sizes = self._no_dependency(sizes)
        self._subnets = subnets

    def _cond_channels(self, event_shape, cond_shape) -> int:
        spatial = event_shape[:-1]
        if cond_shape is None:
            return 0
        if isinstance(cond_shape, Mapping):
            raise UsageError(
                f"{self.name}: takes one tensor as condition, got a dict with keys "
                f"{sorted(cond_shape)}; pick an entry with Select"
            )
        if len(cond_shape) != 1 and cond_shape[:-1] != spatial:
            raise UsageError(
                f"{self.name}: expected a condition of shape (K,)"
                f"{f' or {spatial} + (K,)' if spatial else ''} with data of shape {event_shape}, "
                f"got {cond_shape}; resize it, or pick another entry with Select"
            )
        if not cond_shape:
            raise UsageError(
                f"{self.name}: expected a condition of at least one dimension, got a scalar"
            )
        return cond_shape[-1]

    def _params(self, active: int, passive: tf.Tensor, cond: tf.Tensor | None) -> tf.Tensor:
        if cond is not None:
            passive = tf.concat([passive, cond], axis=-1)
        return tf.cast(self._subnets[str(active)](passive), passive.dtype)

    def _over_space(self, cond, x):
        if cond is None or cond.shape.rank == x.shape.rank:
            return cond
        space = tf.concat([tf.shape(x)[:-1], tf.shape(cond)[-1:]], axis=0)
        ones = [1] * (x.shape.rank - 2)
        return tf.broadcast_to(tf.reshape(cond, [-1, *ones, cond.shape[-1]]), space)

    def _transform(self, x, cond, order, elementwise):
        cond = self._over_space(cond, x)
        parts = tf.split(x, self._sizes, axis=-1)
        total = 0.0
        for active in order:
            params = self._params(active, parts[1 - active], cond)
            parts[active], log_det = elementwise(parts[active], params)
            total += log_det
        return tf.concat(parts, axis=-1), total

    def _inverse_and_log_det(self, x, cond):
        return self._transform(x, cond, self._order, self._elementwise.inverse)

    def _forward_and_log_det(self, z, cond):
        return self._transform(z, cond, self._order[::-1], self._elementwise.forward)

    def _inverse_vjp(self, z, cond, z_gradient, log_det_gradient, weights):
        parts = tf.split(z, self._sizes, axis=-1)
        gradients = tf.split(z_gradient, self._sizes, axis=-1)
        cond_gradients = [None] * len(leaves(cond))
        for active in self._order[::-1]:
            passive = after(parts[1 - active], [gradients[active]])
            sources = [passive, *leaves(cond)]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                # One evaluation of the subnet for both: the active part, and the gradient.
                params = self._params(active, passive, self._over_space(cond, passive))
                with tape.stop_recording():
                    u, _ = self._elementwise.forward(parts[active], params)
                tape.watch(u)
                outputs = self._elementwise.inverse(u, params)
            parts[active] = u
            gradients[active], through_subnet, *more = weights.pull_back(
                tape, outputs, (gradients[active], log_det_gradient), [u, *sources]
            )
            gradients[1 - active], *cond_gradients = add_up(
                [gradients[1 - active], *cond_gradients], [through_subnet, *more]
            )
        return tf.concat(parts, axis=-1), tf.concat(gradients, axis=-1), cond_gradients

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments.

        Raises:
            UsageError: if the subnet's maker is not registered with Keras.
        """
        if not is_registered(self._subnet):
            raise UsageError(
                f"{self.name}: can't save the subnet {self._subnet!r}; give a registered maker "
                "such as tfp_cinn.networks.MLP, or register yours with "
                "keras.saving.register_keras_serializable"
            )
        return super().get_config() | {
            "subnet": keras.saving.serialize_keras_object(self._subnet),
            "event_ndims": self.inverse_min_event_ndims,
        }
