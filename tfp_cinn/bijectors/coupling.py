"""Couplings: some entries change, given the others and the condition."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.recompute import add_up, after
from tfp_cinn.bijectors.shapes import Shape, leaves, sum_event
from tfp_cinn.bijectors.splits import Halves, Split
from tfp_cinn.bijectors.transforms import Additive, Affine, Transform, check_transform
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


@keras.saving.register_keras_serializable("tfp_cinn")
class Coupling(ConditionalBijector):
    r"""Splits x into two parts; each in turn is transformed, given the other one and c.

    Encoding, for each active part x_i in `order`:

        z_i = transform(x_i; subnet_i([x_j, c]))

    where x_j, j != i, is the other part as it is by then. The Jacobian is a product of triangular
    ones, so that its log-determinant is the sum of the transform's log-slopes. Decoding is the
    exact inverse, last part first.

    A vector condition meeting feature maps is broadcast over space; a feature map has to have the
    resolution of x. Both are concatenated to the passive part along the channels.

    Subnets compute in the precision of their layers. With float32 layers, a few rows of an x in
    float64 come back to 1e-8 only, those whose passive part rounds to another float32.

    Args:
        subnet: makes a subnet from its number of output channels. To be saved it has to be
            registered with Keras, as those of `tfp_cinn.networks` are.
        transform: what is done to the active part: `Affine`, `Additive`, `RationalQuadraticSpline`
            or a `Transform` of your own.
        split: how x is parted: `Halves()` of the channels, which is the default, `Checkerboard()`
            or a `Split` of your own.
        order: the active parts in the order in which data are encoded: (0, 1) for both, (1,) for
            the second one alone.
        event_ndims: 1 for vectors `[C]`, 3 for feature maps `[H, W, C]`.

    Raises:
        UsageError: if an argument is of the wrong kind; when built, if x can't be split, or the
            condition or the subnet doesn't suit it.
    """

    def __init__(
        self,
        subnet: Subnet,
        transform: Transform,
        split: Split | None = None,
        order: Sequence[int] = (0, 1),
        event_ndims: int = 1,
        name: str | None = None,
    ):
        check_maker(subnet)
        check_transform(transform)
        split = Halves() if split is None else split
        if not isinstance(split, Split):
            raise UsageError(f"split: expected a Split, such as Halves(), got {split!r}")
        if tuple(order) not in ((0,), (1,), (0, 1), (1, 0)):
            raise UsageError(f"order: expected (0, 1), (1, 0), (0,) or (1,), got {order!r}")
        super().__init__(event_ndims, name=name)
        self._subnet, self._transform, self._split = subnet, transform, split
        self._order = self._no_dependency(tuple(order))
        self._subnets: dict[str, keras.layers.Layer] = {}

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The subnets, in the order in which data are encoded."""
        return [self._subnets[str(i)] for i in self._order] if self._subnets else []

    def _build(self, event_shape, cond_shape):
        self._check_rank(event_shape)
        try:
            shapes = self._split.shapes(event_shape)
        except UsageError as error:
            raise UsageError(f"{self.name}: {error}") from None
        cond_channels = self._cond_channels(event_shape, cond_shape)
        subnets = {}
        for active in self._order:
            *space, channels = shapes[1 - active]
            inputs = (*space, channels + cond_channels)
            outputs = self._transform.params_per_channel * shapes[active][-1]
            subnets[str(active)] = make_subnet(self.name, self._subnet, inputs, outputs)
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
        if len(cond_shape) == 1:
            return cond_shape[-1]
        return self._split.align(tf.zeros((1, *cond_shape))).shape[-1]

    def _params(self, active, passive, cond):
        inputs = passive
        if cond is not None:
            inputs = tf.concat([passive, self._beside(cond, passive)], axis=-1)
        return tf.cast(self._subnets[str(active)](inputs), passive.dtype)

    def _beside(self, cond, passive):
        """The condition at every place of the passive part."""
        if cond.shape.rank == passive.shape.rank:
            return self._split.align(cond)
        space = tf.concat([tf.shape(passive)[:-1], tf.shape(cond)[-1:]], axis=0)
        ones = [1] * (passive.shape.rank - 2)
        return tf.broadcast_to(tf.reshape(cond, [-1, *ones, cond.shape[-1]]), space)

    def _run(self, x, cond, order, transform):
        parts = self._split.split(x)
        total = 0.0
        for active in order:
            params = self._params(active, parts[1 - active], cond)
            parts[active], log_slope = transform(parts[active], params)
            total += sum_event(log_slope)
        return self._split.join(parts), total

    def _inverse_and_log_det(self, x, cond):
        return self._run(x, cond, self._order, self._transform.inverse)

    def _forward_and_log_det(self, z, cond):
        return self._run(z, cond, self._order[::-1], self._transform.forward)

    def _inverse_vjp(self, z, cond, z_gradient, log_det_gradient, weights):
        parts = self._split.split(z)
        gradients = self._split.split(z_gradient)
        cond_gradients = [None] * len(leaves(cond))
        for active in self._order[::-1]:
            passive = after(parts[1 - active], [gradients[active]])
            sources = [passive, *leaves(cond)]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                # One evaluation of the subnet for both: the active part, and the gradient.
                params = self._params(active, passive, cond)
                with tape.stop_recording():
                    u, _ = self._transform.forward(parts[active], params)
                tape.watch(u)
                v, log_slope = self._transform.inverse(u, params)
                outputs = v, sum_event(log_slope)
            parts[active] = u
            gradients[active], through_subnet, *more = weights.pull_back(
                tape, outputs, (gradients[active], log_det_gradient), [u, *sources]
            )
            gradients[1 - active], *cond_gradients = add_up(
                [gradients[1 - active], *cond_gradients], [through_subnet, *more]
            )
        return self._split.join(parts), self._split.join(gradients), cond_gradients


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
        clamp_type: which soft clamp; see `Affine`.
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
        transform = Affine(clamp, clamp_type)
        super().__init__(subnet, transform, None, self._ORDER, event_ndims, name)

    @property
    def clamp(self) -> float:
        """Bound of the log-scale, nats."""
        return self._transform.clamp

    @property
    def clamp_type(self) -> str:
        """Name of the soft clamp."""
        return self._transform.clamp_type


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
        super().__init__(subnet, Additive(), None, (1,), event_ndims, name)
