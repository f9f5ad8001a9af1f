"""The contract that every bijector of this package keeps."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.experimental.tangent_spaces import FullSpace

from tfp_cinn.bijectors import weights
from tfp_cinn.bijectors.computing import current
from tfp_cinn.bijectors.latent_scale import LatentScale
from tfp_cinn.bijectors.no_cache import NoCache
from tfp_cinn.bijectors.recompute import WeightGradients, recomputing, vjp_by_decoding
from tfp_cinn.bijectors.serialization import constructor_arguments, restore
from tfp_cinn.bijectors.shapes import (
    Shape,
    condition_parts,
    fold,
    in_shards,
    leaves,
    map_event_shape,
    map_shape,
    shape_of_one,
    spoil,
)
from tfp_cinn.errors import UsageError

__all__ = ["ConditionalBijector", "check_ours"]

# A plain TransformedDistribution asks for x = inverse(y) and then for the log-det at that very x.
# Leaving the log-det on the tensor answers the second question without a second pass, and dies
# with the tensor.
_LOG_DET_MEMO = "_tfp_cinn_inverse_log_det"


class ConditionalBijector(tfp.bijectors.Bijector):
    """A bijector of one argument and one condition, x = f(z; c), with one-pass log-determinants.

    TFP's directions hold: `forward` generates (latent z to data x), `inverse` encodes (data x to
    latent z). A subclass implements two methods, each one pass over its parameters:

        _forward_and_log_det(z, cond) -> (x, log|det dx/dz|)
        _inverse_and_log_det(x, cond) -> (z, log|det dz/dx|)

    They are given exactly one batch dimension, `[N, *event_shape]`, with a `cond` of the same N,
    and return log-determinants of shape `[N]` in nats, summed over all other dimensions. This
    class derives the rest: TFP's `forward`, `inverse` and `*_log_det_jacobian` (take the
    condition as the keyword `cond`), any number of leading batch dimensions, broadcasting of the
    batch dimensions of `cond` against those of the argument, shape errors, NaN in rows whose
    argument or condition isn't finite, and `trainable_variables` that hold the weights of the
    Keras layers.

    Weights are created by `build(event_shape, cond_shape)`, or at the first call from the shapes
    seen there; in that case `cond` has to have the same number of batch dimensions as the
    argument. Nothing is cached: a value is computed from the weights as they are now.

    To be saved, a subclass keeps its constructor's argument `a` as the attribute `_a` or `a`, or
    overrides `get_config`. A bijector made of others names them in `members`, and says in
    `inverse_steps` what each of them is given; its layers, its shapes, whether it is conditional
    and how it is calibrated follow from these.

    Attributes:
        conditional: whether the bijector looks at `cond` at all; those that don't ignore it.

    Args:
        event_ndims: rank of the smallest event on the data side, `inverse_min_event_ndims`.
        latent_event_ndims: the same on the latent side; `event_ndims` if not given.
    """

    _cache = NoCache()

    def __init__(
        self, event_ndims: int, latent_event_ndims: int | None = None, name: str | None = None
    ):
        super().__init__(
            inverse_min_event_ndims=event_ndims,
            forward_min_event_ndims=(
                event_ndims if latent_event_ndims is None else latent_event_ndims
            ),
            name=name,
        )
        self._event_ndims = event_ndims
        self._event_shape: Shape | None = None
        self._cond_shape: Any = None
        self._frozen: list[int] = self._no_dependency([])
        self._listed = weights.Listed(self)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    # Two flows are the same only if they share their weights: identity, not TFP's comparison of
    # constructor arguments.
    def __eq__(self, other):
        return self is other

    def __hash__(self):
        return id(self)

    # What a subclass may have to say.

    def members(self) -> tuple[ConditionalBijector, ...]:
        """Return the bijectors that this one is made of, data side first."""
        return ()

    def inverse_steps(
        self, x: tf.Tensor, cond: Any
    ) -> Iterator[tuple[ConditionalBijector, tf.Tensor, Any]]:
        """Yield each member with the x and the condition that it is given when x is encoded.

        A member that changes before the next one is asked for, as in calibration, is seen changed.
        """
        return iter(())

    def label(self, index: int | None = None) -> str:
        """Name this bijector, or the place of its member `index`, in a message."""
        return type(self).__name__

    @property
    def conditional(self) -> bool:
        """Whether any member looks at the condition; true of a bijector without members."""
        members = self.members()
        return not members or any(m.conditional for m in members)

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The Keras layers that hold the weights, data side first."""
        return [layer for member in self.members() for layer in member.layers]

    def _build(self, event_shape: Shape, cond_shape: Any) -> None:
        """Create the weights; both shapes are without batch dimensions."""

    def _latent_shape(self, event_shape: Shape) -> Shape:
        """Shape of z for an x of `event_shape`."""
        for member in self.members():
            event_shape = member._latent_shape(event_shape)
        return event_shape

    def _data_shape(self, latent_shape: Shape) -> Shape | None:
        """Shape of x for a z of `latent_shape`; None where only `build` can tell."""
        for member in reversed(self.members()):
            latent_shape = None if latent_shape is None else member._data_shape(latent_shape)
        return latent_shape

    def _latent_scales(self) -> tuple[LatentScale, ...]:
        """What `latent_scales` returns, once built."""
        if members := self.members():
            return members[-1].latent_scales
        return (LatentScale(0, math.prod(self.latent_shape), self.latent_shape),)

    def _calibrate(self, x: tf.Tensor, cond: Any) -> None:
        """Set data-dependent weights from a batch x."""
        for member, its_x, its_cond in self.inverse_steps(x, cond):
            member._calibrate(its_x, its_cond)

    def _forward_and_log_det(self, z: tf.Tensor, cond: Any) -> tuple[tf.Tensor, tf.Tensor]:
        raise NotImplementedError

    def _inverse_and_log_det(self, x: tf.Tensor, cond: Any) -> tuple[tf.Tensor, tf.Tensor]:
        raise NotImplementedError

    def _inverse_vjp(
        self,
        z: tf.Tensor,
        cond: Any,
        z_gradient: tf.Tensor,
        log_det_gradient: tf.Tensor,
        weights: WeightGradients,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor | None]]:
        """Backward pass of `_inverse_and_log_det`, given its output alone.

        Returns x, the gradient with respect to x, and those with respect to the tensors of cond in
        the order of `shapes.leaves`, None for zero. To be overridden where one evaluation of a
        network gives both x and the gradient.
        """
        return vjp_by_decoding(self, z, cond, z_gradient, log_det_gradient, weights)

    # Weights and shapes.

    def _own_layers(self) -> list[keras.layers.Layer]:
        """The layers that aren't a member's."""
        others = {id(layer) for member in self.members() for layer in member.layers}
        return [layer for layer in self.layers if id(layer) not in others]

    @property
    def variables(self) -> tuple[tf.Variable, ...]:
        """All weights."""
        return weights.variables(self.layers)

    @property
    def trainable_variables(self) -> tuple[tf.Variable, ...]:
        """The weights that Keras trains now: `layer.trainable = False` is obeyed."""
        return weights.trainable_variables(self.layers)

    @property
    def non_trainable_variables(self) -> tuple[tf.Variable, ...]:
        """The other weights."""
        trainable = {id(v) for v in self.trainable_variables}
        return tuple(v for v in self.variables if id(v) not in trainable)

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return self._event_shape is not None

    @property
    def event_shape(self) -> Shape | None:
        """Shape of x without batch dimensions; None before `build`."""
        return self._event_shape

    @property
    def cond_shape(self) -> Any:
        """Shape of the condition without batch dimensions, a dict for several parts, or None."""
        return self._cond_shape

    @property
    def latent_shape(self) -> Shape | None:
        """Shape of z without batch dimensions; None before `build`."""
        return self._latent_shape(self._event_shape) if self.built else None

    @property
    def latent_scales(self) -> tuple[LatentScale, ...] | None:
        """The parts of z by resolution, in their order in z; None before `build`.

        They cover z, once its event is flattened, without a gap. A bijector that lets no latents
        leave early has one.
        """
        return self._latent_scales() if self.built else None

    def build(self, event_shape: Shape, cond_shape: Any = None) -> None:
        """Create the weights for data of `event_shape` and conditions of `cond_shape`.

        Both are without batch dimensions; `cond_shape` is a tuple, a dict of tuples, or None.

        Raises:
            UsageError: if the shapes don't suit this bijector, or it was built for others.
        """
        event_shape = tuple(int(n) for n in event_shape)
        if len(event_shape) < self.inverse_min_event_ndims:
            raise UsageError(
                f"{self.name}: expected data with at least {self.inverse_min_event_ndims} event "
                f"dimensions, got shape {event_shape}"
            )
        cond_shape = map_shape(tuple, cond_shape) if self.conditional else None
        if self.built:
            if (event_shape, cond_shape) != (self._event_shape, self._cond_shape):
                raise UsageError(
                    f"{self.name}: built for event shape {self._event_shape} and condition shape "
                    f"{self._cond_shape}, can't be built again for {event_shape} and {cond_shape}; "
                    "make a new bijector"
                )
            return
        # Weights made inside a tf.function have to outlive its graph.
        with tf.init_scope():
            self._build(event_shape, cond_shape)
        self._cond_shape = self._no_dependency(cond_shape)
        self._event_shape = event_shape
        for layer in self.layers:
            if not layer.built:
                raise UsageError(
                    f"{self.name}: its layer {layer.name} isn't built, so that its weights would "
                    "be missed; build it in _build"
                )
        if self._frozen:
            weights.set_frozen(self._own_layers(), self._frozen)
            self._frozen = self._no_dependency([])

    def _check_rank(self, event_shape: Shape) -> None:
        if len(event_shape) != self.inverse_min_event_ndims:
            raise UsageError(
                f"{self.name}: made for events of rank {self.inverse_min_event_ndims}, got shape "
                f"{event_shape}; set event_ndims={len(event_shape)}"
            )

    # Copies.

    def copy(self) -> ConditionalBijector:
        """Return a copy with weights of its own, of the same values."""
        return copy.deepcopy(self)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, and which layers are frozen, as Keras saves them.

        Raises:
            UsageError: if `keras.saving.load_model` couldn't rebuild an argument.
        """
        config = constructor_arguments(self.name, self)
        frozen = self._frozen or weights.frozen_layers(self._own_layers())
        return config | {"name": self.name} | ({"frozen": list(frozen)} if frozen else {})

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ConditionalBijector:
        """Rebuild, without weights, the bijector whose `get_config` this is."""
        config = dict(config)
        frozen = config.pop("frozen", [])
        bijector = cls(**{key: restore(value) for key, value in config.items()})
        bijector._frozen = bijector._no_dependency(frozen)
        return bijector

    # Passes.

    def calibrate(self, x: tf.Tensor, cond: Any = None) -> None:
        """Initialize data-dependent weights (every `ActNorm` inside) from x `[..., *event]`."""
        x, cond, _ = self._fold("x", x, cond)
        if not tf.reduce_all(tf.math.is_finite(x)) or not tf.size(x):
            raise UsageError(f"{self.name}: expected a batch of finite data to calibrate on")
        self._calibrate(x, cond)

    @tf.autograph.experimental.do_not_convert
    def forward_and_log_det(self, z: tf.Tensor, cond: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return x = f(z; cond) and log|det dx/dz| in nats, in one pass.

        Once built, the event is all of the latent shape.

        Args:
            z: latents, `[..., *latent_shape]`.
            cond: the condition; its batch dimensions broadcast against those of z.

        Returns:
            x, `[..., *event]`, and the log-determinant, of the batch shape.

        Raises:
            UsageError: if a shape or dtype doesn't fit.
        """
        return self._one_pass("z", z, cond)

    @tf.autograph.experimental.do_not_convert
    def inverse_and_log_det(self, x: tf.Tensor, cond: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return z = f^-1(x; cond) and log|det dz/dx| in nats, in one pass.

        The counterpart of `forward_and_log_det`: x is `[..., *event_shape]`.
        """
        return self._one_pass("x", x, cond)

    # TFP means the smallest event by these: a bijector of the last axis returns a log-determinant
    # for each position, and TFP sums them over the event dimensions that the caller names.

    def _forward(self, z, cond=None):
        return self._one_pass("z", z, cond, self.forward_min_event_ndims)[0]

    def _forward_log_det_jacobian(self, z, cond=None):
        return self._one_pass("z", z, cond, self.forward_min_event_ndims)[1]

    def _inverse(self, x, cond=None):
        z, log_det = self._one_pass("x", x, cond, self.inverse_min_event_ndims)
        if z is not x:
            setattr(z, _LOG_DET_MEMO, (self, cond, log_det))
        return z

    def _inverse_log_det_jacobian(self, x, cond=None):
        return self._one_pass("x", x, cond, self.inverse_min_event_ndims)[1]

    def _experimental_compute_density_correction(
        self, z, tangent_space, backward_compat=False, event_ndims=None, cond=None
    ):
        owner, its_cond, log_det = getattr(z, _LOG_DET_MEMO, (None, None, None))
        if owner is not self or its_cond is not cond or not isinstance(tangent_space, FullSpace):
            return tangent_space.transform_dimension_preserving(
                z, self, event_ndims=event_ndims, cond=cond
            )
        delattr(z, _LOG_DET_MEMO)
        extra = (event_ndims or self.forward_min_event_ndims) - self.forward_min_event_ndims
        return -tf.reduce_sum(log_det, axis=list(range(-extra, 0))), tangent_space

    # As with TFP's own, dimensions to the left of the event are handed on.

    def _inverse_event_shape(self, shape):
        ndims = self.inverse_min_event_ndims
        return map_event_shape(shape, ndims, self._event_shape, self._latent_shape)

    def _forward_event_shape(self, shape):
        ndims = self.forward_min_event_ndims
        return map_event_shape(shape, ndims, self.latent_shape, self._data_shape)

    def _inverse_event_shape_tensor(self, shape):
        return self._shape_tensor(shape, self._inverse_event_shape, self._event_shape)

    def _forward_event_shape_tensor(self, shape):
        return self._shape_tensor(shape, self._forward_event_shape, self.latent_shape)

    def _shape_tensor(self, shape, static_shape, built):
        value = tf.get_static_value(shape)
        if value is None and built is not None:
            event = tf.constant(static_shape(tf.TensorShape(built)).as_list(), shape.dtype)
            return tf.concat([shape[: tf.size(shape) - len(built)], event], axis=0)
        result = static_shape(tf.TensorShape(value))
        if not result.is_fully_defined():
            raise UsageError(f"{self.name}: its shapes are not known yet; call build() first")
        return tf.constant(result.as_list(), shape.dtype)

    def _one_pass(self, argument: str, value, cond, event_ndims: int | None = None):
        """Output and log-determinant for `argument` x (encode) or z (decode)."""
        value, cond, batch = self._fold(argument, value, cond, event_ndims)
        run = self._inverse_and_log_det if argument == "x" else self._forward_and_log_det
        settings = current()
        if argument == "x" and settings.memory == "recompute":
            run = recomputing(self)
        result = in_shards(run, value, cond, settings.shards)
        return tuple(map(batch.unfold, spoil(result, [value, *leaves(cond)])))

    def _fold(self, argument: str, value, cond, event_ndims: int | None = None):
        """Check x (or z) and cond, and fold their batch dimensions into one.

        `event_ndims` is the rank of the whole event if not given.
        """
        event_shape = self._event_shape if argument == "x" else self.latent_shape
        if event_ndims is None:
            smallest = self.inverse_min_event_ndims, self.forward_min_event_ndims
            event_ndims = len(event_shape) if self.built else smallest[argument == "z"]
        value = tf.convert_to_tensor(value)
        if not value.dtype.is_floating:
            raise UsageError(
                f"{self.name}: {argument} has dtype {value.dtype.name}, expected a float dtype; "
                "cast it first"
            )
        if value.shape.rank is None or value.shape.rank < event_ndims:
            raise UsageError(
                f"{self.name}: expected {argument} of shape [..., {event_ndims} event dimensions], "
                f"got {value.shape}"
            )
        batch_ndims = value.shape.rank - event_ndims
        cond = self._as_features(cond, value.dtype)
        if not self.built:
            self._build_from(value, cond, batch_ndims, argument)
            event_shape = self._event_shape if argument == "x" else self.latent_shape
        # A bijector of the last axis, built for feature maps, accepts them position by position.
        event_shape = event_shape[len(event_shape) - event_ndims :]
        if not value.shape[batch_ndims:].is_compatible_with(event_shape):
            raise UsageError(
                f"{self.name}: expected {argument} of shape [..., "
                f"{', '.join(map(str, event_shape))}], got {tuple(value.shape)}"
            )
        value = tf.ensure_shape(value, [None] * batch_ndims + list(event_shape))
        parts = condition_parts(self.name, cond, self._cond_shape)
        (value, *tensors), batch = fold(self.name, {argument: (value, batch_ndims)} | parts)
        return value, tf.nest.pack_sequence_as(cond, tensors) if parts else None, batch

    def _as_features(self, cond, dtype):
        if not self.conditional or cond is None:
            return None

        def convert(c):
            c = tf.convert_to_tensor(c)
            if not c.dtype.is_floating:
                raise UsageError(
                    f"{self.name}: cond has dtype {c.dtype.name}, expected float features; put a "
                    "conditioner such as tfp_cinn.networks.OneHot before the flow"
                )
            return tf.cast(c, dtype)

        return keras.tree.map_structure(convert, cond)

    def _build_from(self, value, cond, batch_ndims, argument):
        shape = tuple(value.shape[batch_ndims:])
        if argument != "x":
            shape = self._data_shape(shape) if None not in shape else None
        if shape is None or None in shape:
            raise UsageError(
                f"{self.name}: can't tell the event shape from {argument} of shape {value.shape}; "
                "call build(event_shape, cond_shape) first"
            )
        self.build(shape, shape_of_one(self.name, cond, batch_ndims))


def check_ours(argument: str, bijector: Any) -> None:
    """Refuse, as an argument, what isn't a bijector of this package."""
    if not isinstance(bijector, ConditionalBijector):
        raise UsageError(
            f"{argument}: expected a bijector of this package, got {type(bijector).__name__}; put "
            "TFP's own into a Chain"
        )
