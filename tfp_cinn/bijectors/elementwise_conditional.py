"""Each entry by itself, with parameters from the condition alone."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.coupling import Subnet, check_maker, make_subnet
from tfp_cinn.bijectors.elementwise import Affine, Spline
from tfp_cinn.errors import UsageError

__all__ = ["ElementwiseConditional"]

_TRANSFORMS = {"affine": Affine(5.0, "arctan"), "spline": Spline()}


@keras.saving.register_keras_serializable("tfp_cinn")
class ElementwiseConditional(ConditionalBijector):
    r"""Changes each entry of a vector by itself, with parameters from the condition alone.

        z_i = g(x_i; theta_i),  [theta_1 | ... | theta_D] = subnet(c)
        log|det dz/dx| = sum_i log g'(x_i; theta_i)

    g is affine, z = x * exp(a(s)) + t with a soft clamp a to (-5, 5), or a monotone rational
    quadratic spline of 16 pieces on [-5, 5]. It is the flow for one-dimensional x, where a coupling
    has nothing to split. Without a condition the parameters are the same for all x.

    Args:
        subnet: makes the subnet from its number of outputs.
        transform: "affine" or "spline".

    Raises:
        UsageError: if the transform is unknown; when built, if the condition isn't a vector.
    """

    def __init__(self, subnet: Subnet, transform: str = "affine", name: str | None = None):
        check_maker(subnet)
        if transform not in _TRANSFORMS:
            raise UsageError(
                f"transform: expected one of {', '.join(_TRANSFORMS)}, got {transform!r}"
            )
        super().__init__(1, name=name)
        self._subnet, self._transform = subnet, transform
        self._elementwise = _TRANSFORMS[transform]
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
        outputs = event_shape[0] * self._elementwise.params_per_channel
        self._layer = make_subnet(self.name, self._subnet, cond_shape or (1,), outputs)

    def _params(self, x, cond):
        cond = tf.ones([tf.shape(x)[0], 1], x.dtype) if cond is None else cond
        return tf.cast(self._layer(cond), x.dtype)

    def _inverse_and_log_det(self, x, cond):
        z, log_det = self._elementwise.inverse(x, self._params(x, cond))
        return tf.ensure_shape(z, x.shape), log_det  # which splines lose in a graph

    def _forward_and_log_det(self, z, cond):
        x, log_det = self._elementwise.forward(z, self._params(z, cond))
        return tf.ensure_shape(x, z.shape), log_det
