"""The distribution p(x | c) that a user holds."""

from __future__ import annotations

import copy
import numbers
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from keras.src.backend.common import global_state  # Keras tells nowhere else what it is calling

from tfp_cinn.bijectors import ConditionalBijector
from tfp_cinn.bijectors.computing import drawing
from tfp_cinn.bijectors.shapes import (
    Batch,
    Shape,
    condition_parts,
    fold,
    leaves,
    spoil,
)
from tfp_cinn.bijectors.weights import Spec, trainable_variables, variables
from tfp_cinn.conditions import as_tensors, build_flow, stateless_seed
from tfp_cinn.errors import UsageError

__all__ = ["ConditionalTransformedDistribution", "standard_normal"]

tfd = tfp.distributions

_GIVEN = (
    "dist.given(cond), or dist.given() without a condition, is an ordinary distribution for "
    "sample(5), indexing and TFP's other distributions"
)


# AutoGraph would convert all that these call, at the first trace of a process: seconds.
_plain = tf.autograph.experimental.do_not_convert


def standard_normal(event_shape: Shape) -> tfd.Distribution:
    """Return N(0, I) over latents of `event_shape`."""
    # tfd.Sample broadcasts shapes in the graph, by an operation that ONNX hasn't.
    zeros = tf.zeros(event_shape, keras.config.floatx())
    return tfd.Independent(tfd.Normal(zeros, tf.ones([], zeros.dtype)), len(event_shape))


class ConditionalTransformedDistribution(tfd.TransformedDistribution):
    r"""p(x | c) of a conditional flow: x = f(z; h(c)) with z from a base distribution.

        log p(x | c) = log p_Z(f^-1(x; h(c))) + log|det df^-1/dx|    (nats)

    where f is the bijector and h the conditioner (arXiv 1907.02392, eqs. 5 and 6). The condition
    is an ordinary argument, with batch dimensions that broadcast against those of x:

        x  = dist.sample(cond)                         # [*batch of cond, *event]
        xs = dist.sample(cond, sample_shape=8)         # [8, *batch of cond, *event]
        lp = dist.log_prob(x, cond)                    # [*batch]
        z  = dist.encode(x, cond); x = dist.decode(z, cond)
        d  = dist.given(cond)                          # an ordinary tfd.TransformedDistribution

    The conditioner runs once a call, on the condition as it is given, however many samples are
    drawn for it. Every value is computed from the weights as they are now.

    Args:
        distribution: the base distribution of z, of scalar batch shape.
        bijector: f; `forward` generates.
        conditioner: h, a Keras layer or model with one batch dimension; None hands c on as it is.
        cond_shape: shape of c without batch dimensions: a tuple, or a dict of them for a condition
            of several parts, or None for no condition. `()` stands for an integer label.
        event_shape: shape of x without batch dimensions; not needed if the bijector is built.
        name: name of the distribution.
    """

    def __init__(
        self,
        distribution: tfd.Distribution,
        bijector: ConditionalBijector,
        conditioner: keras.layers.Layer | None = None,
        cond_shape: Any = None,
        event_shape: Shape | None = None,
        name: str = "ConditionalTransformedDistribution",
    ):
        parameters = dict(locals())
        self._conditioner = conditioner
        self._cond_shape = cond_shape
        if distribution.variables:
            raise UsageError(
                "distribution: expected a base distribution without variables, which Keras would "
                "neither train nor save; an ActNorm at the latent end of the flow learns location "
                "and scale"
            )
        if event_shape is not None:
            build_flow(bijector, event_shape, conditioner, cond_shape)
        elif not bijector.built:
            raise UsageError("event_shape: expected the shape of x, or a bijector that is built")
        super().__init__(distribution, bijector, parameters=parameters, name=name)

    def __deepcopy__(self, memo):
        # TFP's distributions can't be copied that way; the base has no weights to be copied.
        parts = copy.deepcopy((self.bijector, self._conditioner), memo)
        return type(self)(self.distribution, *parts, self._cond_shape, name=self.name)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {}  # no parameter has batch dimensions: those of a condition come with each call

    @property
    def conditioner(self) -> keras.layers.Layer | None:
        """The Keras layer or model that turns conditions into features."""
        return self._conditioner

    @property
    def cond_shape(self) -> Any:
        """Shape of a condition without batch dimensions, a dict for several parts, or None."""
        return self._cond_shape

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The Keras layers that hold all weights: the conditioner, then those of the bijector.

        A `keras.Model` of yours that calls the distribution has to hold them to train and save it:

            self.distribution = distribution
            self.flow_layers = distribution.layers
        """
        conditioner = [] if self._conditioner is None else [self._conditioner]
        return [*conditioner, *self.bijector.layers]

    @property
    def reparameterization_type(self) -> tfd.ReparameterizationType:
        """What TFP's distributions ask of one that is put into them: refused.

        Raises:
            UsageError: always; `given` returns what can be put into them.
        """
        raise UsageError(_GIVEN)

    def __getitem__(self, slices):
        raise UsageError(_GIVEN)

    @property
    def trainable_variables(self) -> tuple[tf.Variable, ...]:
        """The weights of conditioner and bijector that Keras trains now."""
        return trainable_variables(self.layers)

    @property
    def variables(self) -> tuple[tf.Variable, ...]:
        """All weights of the conditioner and of the bijector."""
        return variables(self.layers)

    @_plain
    def features(self, cond: Any) -> Any:
        """Return h(cond), what the bijectors are given, for a cond of `[*batch, *cond_shape]`.

        Raises:
            UsageError: if shape, dtype or label range don't fit.
        """
        return self._features(*self._condition(cond))

    @_plain
    def sample(
        self,
        cond: Any = None,
        sample_shape: Any = None,
        seed: Any = None,
        temperature: Any = 1.0,
        name: str = "sample",
    ) -> tf.Tensor:
        """Draw x = f(temperature * z; h(cond)) with z from the base distribution.

        Args:
            cond: the condition, `[*batch, *cond_shape]`.
            sample_shape: how many samples of each condition, an integer or a shape; one if not
                given. TFP's `sample(5)` means five samples: a label that is a Python integer needs
                a sample_shape beside it.
            seed: an integer or a stateless seed of two integers: the same seed gives the same
                sample. None draws anew at each call.
            temperature: factor on z, not negative; a number or a tensor that broadcasts against
                `[*sample_shape, *batch]`. Below 1 samples are more typical and less varied.
            name: name of the operations.

        Returns:
            Samples, `[*sample_shape, *batch, *event]`.

        Raises:
            UsageError: if an argument is out of range or of the wrong shape.
        """
        with tf.name_scope(name):
            z, features = self._draw(cond, sample_shape, seed, temperature)
            with drawing():
                return self._forward(z, features)[0]

    @_plain
    def sample_and_log_prob(
        self, cond: Any = None, sample_shape: Any = None, seed: Any = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw x as `sample` does at temperature 1, and log p(x | cond) in the same pass.

        Returns:
            Samples, `[*sample_shape, *batch, *event]`, and their log-density in nats,
            `[*sample_shape, *batch]`.
        """
        z, features = self._draw(cond, sample_shape, seed, 1.0)
        x, log_det = self._forward(z, features)
        return x, self.distribution.log_prob(z) - log_det

    @_plain
    def log_prob(self, x: tf.Tensor, cond: Any = None, name: str = "log_prob") -> tf.Tensor:
        """Return log p(x | cond) in nats.

        Args:
            x: `[*batch, *event]`.
            cond: the condition; its batch dimensions broadcast against those of x.
            name: name of the operations.

        Returns:
            Log-densities of the common batch shape.

        Raises:
            UsageError: if a shape or dtype doesn't fit.
        """
        with tf.name_scope(name):
            z, log_det = self._inverse(x, self.features(cond))
            return self.distribution.log_prob(z) + log_det

    def prob(self, x: tf.Tensor, cond: Any = None, name: str = "prob") -> tf.Tensor:
        """Return p(x | cond), the exponential of `log_prob`; underflows in high dimensions."""
        return tf.exp(self.log_prob(x, cond, name))

    @_plain
    def encode(self, x: tf.Tensor, cond: Any = None) -> tf.Tensor:
        """Return z = f^-1(x; h(cond)), `[*batch, *latent event]`."""
        return self._inverse(x, self.features(cond))[0]

    @_plain
    def decode(self, z: tf.Tensor, cond: Any = None) -> tf.Tensor:
        """Return x = f(z; h(cond)), `[*batch, *event]`."""
        with drawing():
            return self._forward(z, self.features(cond))[0]

    @_plain
    def given(self, cond: Any = None) -> tfd.Distribution:
        """Return p(. | cond) as an ordinary `tfd.TransformedDistribution`.

        Its batch shape is that of cond, and every convention of TFP holds. The conditioner runs
        here, once, with its weights as they are now.
        """
        features = self._features(*self._condition(cond))
        return _Given(self.distribution, _Bound(self.bijector, features))

    def _forward(self, z, features):
        return self.bijector.forward_and_log_det(self._as_float(z), features)

    def _inverse(self, x, features):
        return self.bijector.inverse_and_log_det(self._as_float(x), features)

    def _as_float(self, x):
        """Cast floats, such as NumPy's float64, to the base distribution's dtype."""
        x = tf.convert_to_tensor(x)
        return tf.cast(x, self.dtype) if x.dtype.is_floating else x

    def _condition(self, cond: Any) -> tuple[Any, Batch]:
        """Check a condition; return it with all its batch dimensions in one, and their shape."""
        self._check_that_keras_sees_it()
        if (cond is None) != (self._cond_shape is None):
            expected = "no condition" if cond is not None else "a condition cond"
            raise UsageError(f"{self.name}: expected {expected}; {_GIVEN}")
        cond = as_tensors(cond, self._cond_shape)
        tensors, batch = fold("condition", condition_parts("condition", cond, self._cond_shape))
        return tf.nest.pack_sequence_as(cond, tensors) if tensors else None, batch

    def _check_that_keras_sees_it(self):
        """Refuse to compute in a Keras model that doesn't hold the weights."""
        call = global_state.get_global_attribute("current_call_ctx")
        model = getattr(call, "entry_layer", None)
        if model is None:
            return
        held = set(map(id, model.weights))
        if not all(id(w) in held for layer in self.layers for w in layer.trainable_weights):
            raise UsageError(
                f"{model.name}: calls {self.name} without holding its layers, so that Keras would "
                "neither train nor save it; add self.flow_layers = distribution.layers"
            )

    def _features(self, cond: Any, batch: Batch) -> Any:
        """Features of what `_condition` returns, with the batch dimensions of the condition."""
        if cond is None:
            return None
        if self._conditioner is not None:
            cond = spoil(self._conditioner(cond), leaves(cond))
        return tf.nest.map_structure(batch.unfold, cond)

    def _draw(self, cond, sample_shape, seed, temperature):
        if sample_shape is None and self._cond_shape == () and isinstance(cond, numbers.Integral):
            raise UsageError(
                f"sample({cond}): one sample of class {cond}, or {cond} samples? Write "
                f"sample({cond}, sample_shape=()) or sample(labels, sample_shape={cond})"
            )
        sample_shape = () if sample_shape is None else sample_shape
        folded, batch = self._condition(cond)
        sample_shape = tf.reshape(tf.convert_to_tensor(sample_shape, tf.int32), [-1])
        shape = tf.concat([sample_shape, tf.convert_to_tensor(batch.value, tf.int32)], axis=0)
        static = tf.get_static_value(shape)
        z = self.distribution.sample(shape if static is None else static, seed=stateless_seed(seed))
        event_ndims = tf.TensorShape(self.distribution.event_shape).rank
        return scaled(z, temperature, event_ndims), self._features(folded, batch)


def scaled(z: tf.Tensor, temperature: Any, event_ndims: int) -> tf.Tensor:
    """Return z times a temperature; NaN where a graph is given one that is negative or not finite.

    Args:
        z: latents, `[*batch, *event]`.
        temperature: a number, or a tensor that broadcasts against `[*batch]`.
        event_ndims: number of event dimensions of z.

    Raises:
        UsageError: if the temperature's value is known and negative or not finite.
    """
    temperature = tf.convert_to_tensor(temperature, z.dtype)
    value = tf.get_static_value(temperature)
    if value is not None and not np.all((value >= 0) & np.isfinite(value)):
        raise UsageError(f"temperature: expected a finite number, 0 or more, got {value}")
    if value is None:  # in a graph it can't raise
        good = (temperature >= 0) & tf.math.is_finite(temperature)
        temperature = tf.where(good, temperature, np.nan)
    return z * tf.reshape(
        temperature, tf.concat([tf.shape(temperature), [1] * event_ndims], axis=0)
    )


# Every subclass of `tfd.TransformedDistribution` is a composite tensor. With TFP's own spec, which
# its metaclass puts in place of one in the class body, a `tf.Module` that holds one would find no
# variables in it.
ConditionalTransformedDistribution._type_spec = property(
    lambda dist: Spec(dist, lambda: dist.layers)
)


class _Given(tfd.TransformedDistribution):
    """p(. | cond) as TFP has it; its batch can be indexed, as TFP can't for a bijector's.

    Mean, standard deviation and quantiles of a flow have no formula: they are those of draws.
    """

    def __getitem__(self, slices):
        slices = slices if isinstance(slices, tuple) else (slices,)
        return _Given(self.distribution, self.bijector.at(slices))

    def mean(self, num_samples: int = 1000, seed: Any = None) -> tf.Tensor:
        """Return the mean of `num_samples` draws, `[*batch, *event]`."""
        return tf.reduce_mean(self._draws(num_samples, seed), axis=0)

    def stddev(self, num_samples: int = 1000, seed: Any = None) -> tf.Tensor:
        """Return the standard deviation of `num_samples` draws, `[*batch, *event]`."""
        return tf.math.reduce_std(self._draws(num_samples, seed), axis=0)

    def quantile(self, value: Any, num_samples: int = 1000, seed: Any = None) -> tf.Tensor:
        """Return each entry's quantiles among `num_samples` draws.

        Args:
            value: a share, or shares `[Q]`, in [0, 1].
            num_samples: number of draws.
            seed: as of `ConditionalTransformedDistribution.sample`.

        Returns:
            `[*batch, *event]`, or `[Q, *batch, *event]`; NaN where a draw is NaN.
        """
        percent = 100 * tf.convert_to_tensor(value, self.dtype)
        draws = self._draws(num_samples, seed)
        return tfp.stats.percentile(draws, percent, axis=0, interpolation="linear")

    def _draws(self, num_samples, seed):
        return self.sample(num_samples, seed=stateless_seed(seed))


_Given._type_spec = property(lambda d: Spec(d, lambda: d.bijector.layers))


class _Bound(ConditionalBijector):
    """A bijector with its condition bound: f(z) = f(z; features), of the condition's batch."""

    conditional = False

    def __init__(self, bijector: ConditionalBijector, features: Any):
        super().__init__(bijector.inverse_min_event_ndims, bijector.forward_min_event_ndims)
        self._bijector = bijector
        self._features = self._no_dependency(features)
        self._parts = self._no_dependency(
            list(condition_parts("given", features, bijector.cond_shape).values())
        )

    def at(self, slices: tuple[Any, ...]) -> _Bound:
        """The bijector of a part of the condition's batch."""
        rank = sum(s is not tf.newaxis and s is not Ellipsis for s in slices)
        batch = self._batch_shape(None)
        if rank > batch.rank:
            raise UsageError(f"given: expected indices of batch shape {batch}, got {rank}")
        whole = any(s is Ellipsis for s in slices)

        def cut(t):
            event_ndims = t.shape.rank - batch.rank
            return t[(*slices, *([slice(None)] * event_ndims if whole else [Ellipsis]))]

        return _Bound(self._bijector, tf.nest.map_structure(cut, self._features))

    def _latent_shape(self, event_shape):
        return self._bijector._latent_shape(event_shape)

    def _data_shape(self, latent_shape):
        return self._bijector._data_shape(latent_shape)

    # All parts of the features have the batch shape of the condition.

    def _batch_shape(self, x_event_ndims):
        return next((t.shape[:ndims] for t, ndims in self._parts), tf.TensorShape([]))

    def _batch_shape_tensor(self, x_event_ndims):
        return next((tf.shape(t)[:ndims] for t, ndims in self._parts), tf.zeros([0], tf.int32))

    def _one_pass(self, argument, value, cond, event_ndims=None):
        return self._bijector._one_pass(argument, value, self._features, event_ndims)
