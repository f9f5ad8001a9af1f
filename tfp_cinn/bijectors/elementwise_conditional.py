"""Each entry by itself, with parameters from the condition alone."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.coupling import Subnet, check_maker, make_subnet
from tfp_cinn.bijectors.shapes import sum_event
from tfp_cinn.bijectors.transforms import (
    Affine,
    RationalQuadraticSpline,
    Transform,
    check_transform,
)
from tfp_cinn.errors import UsageError

__all__ = ["ElementwiseConditional"]


@keras.saving.register_keras_serializable("tfp_cinn")
class ElementwiseConditional(ConditionalBijector):
    r"""Changes each entry of a vector by itself, with parameters from the condition alone.

        z_i = g(x_i; theta_i),  [theta_1 | ... | theta_D] = subnet(c)
        log|det dz/dx| = sum_i log g'(x_i; theta_i)

    It is the flow for one-dimensional x, where a coupling has nothing to split, and a last layer
    for others. Without a condition the parameters are the same for all x.

    Args:
        subnet: makes the subnet from its number of outputs.
        transform: g: `Affine`, `Additive`, `RationalQuadraticSpline` or a `Transform` of your own.

    Raises:
        UsageError: if the transform isn't one; when built, if the condition isn't a vector.
    """

    def __init__(self, subnet: Subnet, transform: Transform, name: str | None = None):
        check_maker(subnet)
        check_transform(transform)
        super().__init__(1, name=name)
        self._subnet, self._transform = subnet, transform
        self._layer: keras.layers.Layer | None = None

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The subnet."""
        return [] if self._layer is None else [self._layer]

    def _build(self, event_shape, cond_shape):
        if len(event_shape) != 1 or not (cond_shape is None or len(cond_shape) == 1):
            raise UsageError(
                f"{self.name}: expected x and the condition to be vectors, got shapes "
                f"{event_shape} and {cond_shape}"
            )
        outputs = event_shape[0] * self._transform.params_per_channel
        self._layer = make_subnet(self.name, self._subnet, cond_shape or (1,), outputs)

    def _params(self, x, cond):
        cond = tf.ones([tf.shape(x)[0], 1], x.dtype) if cond is None else cond
        return tf.cast(self._layer(cond), x.dtype)

    def _inverse_and_log_det(self, x, cond):
        z, log_slope = self._transform.inverse(x, self._params(x, cond))
        return z, sum_event(log_slope)

    def _forward_and_log_det(self, z, cond):
        x, log_slope = self._transform.forward(z, self._params(z, cond))
        return x, sum_event(log_slope)

    @classmethod
    def from_config(cls, config):
        """Rebuild from `get_config`, or from that of earlier files, which named two transforms."""
        earlier = {"affine": Affine(5.0), "spline": RationalQuadraticSpline()}
        transform = config["transform"]
        if isinstance(transform, str):
            transform = keras.saving.serialize_keras_object(earlier[transform])
        return super().from_config(config | {"transform": transform})
