"""Couplings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.elementwise import Affine, Elementwise, Translation
from tfp_cinn.bijectors.recompute import add_up, after
from tfp_cinn.bijectors.shapes import Shape, leaves
from tfp_cinn.errors import UsageError

__all__ = ["AdditiveCoupling", "AffineCoupling", "Coupling", "GlowCoupling", "Subnet"]

Subnet = Callable[[int], keras.layers.Layer]


def check_maker(subnet: Subnet) -> None:
    """Raise a UsageError unless `subnet` is a callable of one argument, and no layer."""
    if not callable(subnet) or isinstance(subnet, keras.layers.Layer):
        raise UsageError(
            "subnet: expected a callable from the number of output channels to a Keras layer, "
            f"such as tfp_cinn.networks.MLP(), got {subnet!r}"
        )
    try:
        inspect.signature(subnet).bind(1)
    except TypeError:
        raise UsageError(
            "subnet: expected a callable of one argument, the number of output channels (Keras "
            f"finds those of the input), got {subnet!r}; write lambda channels_out: ..."
        ) from None


def make_subnet(owner: str, maker: Subnet, input_shape: Shape, channels_out: int):
    """Return a new subnet, built for inputs `[N, *input_shape]`.

    Raises:
        UsageError: if it isn't a Keras layer, or returns another number of channels.
    """
    subnet = maker(channels_out)
    if not isinstance(subnet, keras.layers.Layer):
        kind = type(subnet)
        raise UsageError(
            f"{owner}: expected the subnet's maker to return a Keras 3 layer, got a "
            f"{kind.__module__}.{kind.__qualname__}"
        )
    expected = (*input_shape[:-1], channels_out)
    got = tuple(subnet(tf.zeros((1, *input_shape))).shape[1:])
    if got != expected:
        raise UsageError(
            f"{owner}: expected the subnet to map {input_shape} to {expected}, it maps to {got}"
        )
    return subnet


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
    """

    def __init__(
        self,
        subnet: Subnet,
        elementwise: Elementwise,
        order: tuple[int, ...],
        event_ndims: int = 1,
        name: str | None = None,
    ):
        check_maker(subnet)
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
        self._check_rank(event_shape)
        if channels < 2:
            raise UsageError(f"{self.name}: expected at least 2 channels to split, got {channels}")
        sizes = (channels // 2, channels - channels // 2)
        cond_channels = self._cond_channels(event_shape, cond_shape)
        subnets = {}
        for active in self._order:
            inputs = (*spatial, sizes[1 - active] + cond_channels)
            outputs = self._elementwise.params_per_channel * sizes[active]
            subnets[str(active)] = make_subnet(self.name, self._subnet, inputs, outputs)
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


@keras.saving.register_keras_serializable("tfp_cinn")
class AffineCoupling(Coupling):
    r"""One-sided affine coupling of RealNVP, with a condition.

    Encoding, with x = [x_1 | x_2] and [s | t] = subnet([x_1, c]):

        z_1 = x_1,    z_2 = x_2 * exp(a(s)) + t,    log|det dz/dx| = sum a(s)

    Decoding is its exact inverse. a is a soft clamp to (-clamp, clamp).

    Source: Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", arXiv 1605.08803,
    eq. 7; the condition as in arXiv 1907.02392, fig. 2.

    Args:
        subnet: makes a subnet from its number of output channels.
        clamp: bound of the log-scale, nats.
        clamp_type: "arctan" (the paper's), "arctan_unscaled" (that of FrEIA since then), "tanh" or
            "sigmoid".
        event_ndims: 1 for vectors `[C]`, 3 for feature maps `[H, W, C]`.
    """

    _ORDER = (1,)

    def __init__(
        self,
        subnet: Subnet,
        clamp: float = 2.0,
        clamp_type: str = "arctan",
        event_ndims: int = 1,
        name: str | None = None,
    ):
        super().__init__(subnet, Affine(clamp, clamp_type), self._ORDER, event_ndims, name)
        self._clamp, self._clamp_type = float(clamp), clamp_type

    @property
    def clamp(self) -> float:
        """Bound of the log-scale, nats."""
        return self._clamp

    @property
    def clamp_type(self) -> str:
        """Name of the soft clamp."""
        return self._clamp_type


@keras.saving.register_keras_serializable("tfp_cinn")
class GlowCoupling(AffineCoupling):
    r"""The paper's conditional coupling block: both halves transformed, with two subnets.

    Encoding, with x = [x_1 | x_2], [s_1 | t_1] = subnet_1([x_2, c]) and, after z_1 is known,
    [s_2 | t_2] = subnet_2([z_1, c]):

        z_1 = x_1 * exp(a(s_1)) + t_1
        z_2 = x_2 * exp(a(s_2)) + t_2
        log|det dz/dx| = sum a(s_1) + sum a(s_2)

    Decoding is its exact inverse, second half first. a is a soft clamp to (-clamp, clamp). Each
    subnet gives scale and shift at once, as in Glow.

    Source: arXiv 1907.02392, eqs. 1 to 4 and fig. 2; Kingma and Dhariwal, "Glow", arXiv 1807.03039.

    Args: those of `AffineCoupling`.
    """

    _ORDER = (0, 1)


@keras.saving.register_keras_serializable("tfp_cinn")
class AdditiveCoupling(Coupling):
    r"""One-sided additive coupling of NICE, with a condition; volume preserving.

    Encoding, with x = [x_1 | x_2] and t = subnet([x_1, c]):

        z_1 = x_1,    z_2 = x_2 + t,    log|det dz/dx| = 0

    Source: Dinh, Krueger and Bengio, "NICE: Non-linear Independent Components Estimation",
    arXiv 1410.8516, sec. 3.2.

    Args:
        subnet: makes a subnet from its number of output channels.
        event_ndims: 1 for vectors `[C]`, 3 for feature maps `[H, W, C]`.
    """

    def __init__(self, subnet: Subnet, event_ndims: int = 1, name: str | None = None):
        super().__init__(subnet, Translation(), (1,), event_ndims, name)
