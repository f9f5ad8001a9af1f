"""Each entry by itself, with parameters from the condition alone."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.coupling import Subnet
from tfp_cinn.bijectors.elementwise import Affine, Elementwise
from tfp_cinn.bijectors.serialization import is_registered
from tfp_cinn.errors import UsageError

__all__ = ["ElementwiseConditional"]


class Spline(Elementwise):
    """Monotone rational quadratic spline on [-bound, bound], the identity outside.

    Zero parameters give the identity. Source: Durkan et al., "Neural Spline Flows", 2019,
    arXiv:1906.04032, sec. 3.1; computed by `tfp.bijectors.RationalQuadraticSpline`.

    Args:
        bins: K, number of pieces.
        bound: where the identity begins.
    """

    def __init__(self, bins: int = 16, bound: float = 5.0):
        self._bins, self._bound = bins, bound
        self.params_per_channel = 3 * bins - 1

    def inverse(self, u, params):
        """Data to latent."""
        spline = self._spline(u, params)
        log_det = spline.forward_log_det_jacobian(u, event_ndims=1)
        return spline.forward(tf.identity(u)), log_det

    def forward(self, v, params):
        """Latent to data."""
        spline = self._spline(v, params)
        log_det = spline.inverse_log_det_jacobian(v, event_ndims=1)
        return spline.inverse(tf.identity(v)), log_det

    def _spline(self, u, params):
        params = tf.reshape(params, [-1, u.shape[-1], self.params_per_channel])
        widths, heights, slopes = tf.split(params, [self._bins, self._bins, -1], axis=-1)
        least = 1e-3  # no piece and no slope vanishes
        free = 1 - least * self._bins

        def lengths(logits):
            return 2 * self._bound * (least + free * tf.nn.softmax(logits))

        return tfp.bijectors.RationalQuadraticSpline(
            lengths(widths),
            lengths(heights),
            least + tf.nn.softplus(slopes + math.log(math.expm1(1 - least))),
            range_min=-self._bound,
        )


TRANSFORMS = {"affine": Affine(5.0, "arctan"), "spline": Spline()}


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
        name: name of the bijector.

    Raises:
        UsageError: if the transform is unknown; when built, if the condition isn't a vector.
    """

    def __init__(self, subnet: Subnet, transform: str = "affine", name: str | None = None):
        if transform not in TRANSFORMS:
            raise UsageError(
                f"transform: expected one of {', '.join(TRANSFORMS)}, got {transform!r}"
            )
        super().__init__(1, name=name)
        self._maker, self._kind = subnet, transform
        self._transform = TRANSFORMS[transform]
        self._subnet: keras.layers.Layer | None = None

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The subnet."""
        return [] if self._subnet is None else [self._subnet]

    def _build(self, event_shape, cond_shape):
        if len(event_shape) != 1 or not (cond_shape is None or len(cond_shape) == 1):
            raise UsageError(
                f"{self.name}: expected x and the condition to be vectors, got shapes "
                f"{event_shape} and {cond_shape}"
            )
        subnet = self._maker(event_shape[0] * self._transform.params_per_channel)
        subnet(tf.zeros((1, *(cond_shape or (1,)))))
        self._subnet = subnet

    def _params(self, x, cond):
        cond = tf.ones([tf.shape(x)[0], 1], x.dtype) if cond is None else cond
        return tf.cast(self._subnet(cond), x.dtype)

    def _inverse_and_log_det(self, x, cond):
        z, log_det = self._transform.inverse(x, self._params(x, cond))
        return tf.ensure_shape(z, x.shape), log_det

    def _forward_and_log_det(self, z, cond):
        x, log_det = self._transform.forward(z, self._params(z, cond))
        return tf.ensure_shape(x, z.shape), log_det  # which splines lose in a graph

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments.

        Raises:
            UsageError: if the subnet's maker is not registered with Keras.
        """
        if not is_registered(self._maker):
            raise UsageError(
                f"{self.name}: can't save the subnet {self._maker!r}; register it with "
                "keras.saving.register_keras_serializable"
            )
        subnet = keras.saving.serialize_keras_object(self._maker)
        return super().get_config() | {"subnet": subnet, "transform": self._kind}
