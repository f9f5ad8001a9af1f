"""The distribution p(x | c) that a user holds."""

from __future__ import annotations

import copy
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_cinn.bijectors import ConditionalBijector
from tfp_cinn.bijectors.shapes import (
    Batch,
    Shape,
    broadcast_batch,
    condition_from_parts,
    condition_parts,
    fold_batch,
    unfold_batch,
)
from tfp_cinn.bijectors.weights import Spec, trainable_variables, variables
from tfp_cinn.conditions import as_tensors, features_shape, stateless_seed
from tfp_cinn.errors import UsageError

__all__ = ["ConditionalTransformedDistribution", "standard_normal"]

tfd = tfp.distributions


def standard_normal(event_shape: Shape) -> tfd.Distribution:
    """N(0, I) over latents of `event_shape`."""
    zero = tf.constant(0.0, keras.config.floatx())
    return tfd.Sample(tfd.Normal(zero, tf.ones_like(zero)), sample_shape=event_shape)


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
    drawn for it. Every value is computed from the weights as they are at the time of the call.

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
        if event_shape is not None:
            bijector.build(event_shape, features_shape(conditioner, cond_shape))
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

    def _layers(self) -> list[keras.layers.Layer]:
        conditioner = [] if self._conditioner is None else [self._conditioner]
        return [*conditioner, *self.bijector.layers]

    @property
    def trainable_variables(self) -> tuple[tf.Variable, ...]:
        """The weights of conditioner and bijector that Keras trains now."""
        return trainable_variables(self._layers())

    @property
    def variables(self) -> tuple[tf.Variable, ...]:
        """All weights of the conditioner and of the bijector."""
        return variables(self._layers())

    def features(self, cond: Any) -> Any:
        """Returns h(cond), what the bijectors are given.

        Args:
            cond: `[*batch, *cond_shape]`, or a dict of such tensors.

        Raises:
            UsageError: if shape, dtype or label range don't fit.
        """
        return self._features(*self._condition(cond))

    def sample(
        self,
        cond: Any = None,
        sample_shape: Any = (),
        seed: Any = None,
        temperature: Any = 1.0,
        name: str = "sample",
    ) -> tf.Tensor:
        """Draws x = f(temperature * z; h(cond)) with z from the base distribution.

        Args:
            cond: the condition, `[*batch, *cond_shape]`.
            sample_shape: how many samples of each condition, an integer or a shape.
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
            return self._forward(z, features)[0]

    def sample_and_log_prob(
        self, cond: Any = None, sample_shape: Any = (), seed: Any = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws x as `sample` does at temperature 1, and log p(x | cond) in the same pass.

        Args:
            cond: the condition, `[*batch, *cond_shape]`.
            sample_shape: how many samples of each condition.
            seed: as in `sample`.

        Returns:
            Samples, `[*sample_shape, *batch, *event]`, and their log-density in nats,
            `[*sample_shape, *batch]`.
        """
        z, features = self._draw(cond, sample_shape, seed, 1.0)
        x, log_det = self._forward(z, features)
        return x, self.distribution.log_prob(z) - log_det

    def log_prob(self, x: tf.Tensor, cond: Any = None, name: str = "log_prob") -> tf.Tensor:
        """Returns log p(x | cond) in nats.

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
        """Returns p(x | cond), the exponential of `log_prob`; underflows in high dimensions."""
        return tf.exp(self.log_prob(x, cond, name))

    def encode(self, x: tf.Tensor, cond: Any = None) -> tf.Tensor:
        """Returns z = f^-1(x; h(cond)), `[*batch, *latent event]`."""
        return self._inverse(x, self.features(cond))[0]

    def decode(self, z: tf.Tensor, cond: Any = None) -> tf.Tensor:
        """Returns x = f(z; h(cond)), `[*batch, *event]`."""
        return self._forward(z, self.features(cond))[0]

    def given(self, cond: Any = None) -> tfd.Distribution:
        """Returns p(. | cond) as an ordinary `tfd.TransformedDistribution`.

        Its batch shape is that of cond, and every convention of TFP holds. The conditioner runs
        here, once: the features are those of its weights as they are now.

        Args:
            cond: the condition, `[*batch, *cond_shape]`.
        """
        tensors, batch = self._condition(cond)
        bound = _Bound(self.bijector, self._features(tensors, batch), batch)
        return tfd.TransformedDistribution(self.distribution, bound)

    def _forward(self, z, features):
        z = self._as_float(z)
        result = self.bijector.forward_and_log_det(z, features)
        return _nan_rows(self.bijector, result, z, len(self.bijector.latent_shape), features)

    def _inverse(self, x, features):
        x = self._as_float(x)
        result = self.bijector.inverse_and_log_det(x, features)
        return _nan_rows(self.bijector, result, x, len(self.bijector.event_shape), features)

    def _as_float(self, x):
        """Casts floats, such as NumPy's float64, to the base distribution's dtype."""
        x = tf.convert_to_tensor(x)
        return tf.cast(x, self.dtype) if x.dtype.is_floating else x

    def _condition(self, cond: Any) -> tuple[dict[str, tf.Tensor], Batch]:
        """Checks the condition; returns its parts, of one batch shape, and that shape."""
        cond = as_tensors(cond, self._cond_shape)
        parts = condition_parts("condition", cond, self._cond_shape)
        return broadcast_batch("condition", parts)

    def _features(self, tensors: dict[str, tf.Tensor], batch: Batch) -> Any:
        if self._conditioner is None:
            return condition_from_parts(tensors, self._cond_shape)
        # A Keras layer takes exactly one batch dimension.
        folded = {part: fold_batch(t, batch) for part, t in tensors.items()}
        features = self._conditioner(condition_from_parts(folded, self._cond_shape))
        features = _nan_features(features, folded.values())
        return keras.tree.map_structure(lambda f: unfold_batch(f, batch), features)

    def _draw(self, cond, sample_shape, seed, temperature):
        tensors, batch = self._condition(cond)
        sample_shape = tf.reshape(tf.convert_to_tensor(sample_shape, tf.int32), [-1])
        shape = tf.concat([sample_shape, tf.convert_to_tensor(batch.value, tf.int32)], axis=0)
        static = tf.get_static_value(shape)
        z = self.distribution.sample(shape if static is None else static, seed=stateless_seed(seed))
        event_ndims = tf.TensorShape(self.distribution.event_shape).rank
        return scaled(z, temperature, event_ndims), self._features(tensors, batch)


def scaled(z: tf.Tensor, temperature: Any, event_ndims: int) -> tf.Tensor:
    """Latents times a temperature; NaN where a graph is given one that is negative or not finite.

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


def _nan_features(features, parts):
    """Makes the features NaN of rows whose condition isn't finite; see `_nan_rows`.

    Labels, which are integers, are left to the conditioner.
    """
    bad = [
        tf.reduce_sum(tf.stop_gradient(t) * 0, axis=range(1, t.shape.rank))
        for t in parts
        if t.dtype.is_floating
    ]
    if not bad:
        return features

    def spoil(f):
        return f + tf.reshape(tf.cast(sum(bad), f.dtype), [-1] + [1] * (f.shape.rank - 1))

    return keras.tree.map_structure(spoil, features)


def _nan_rows(bijector, result, argument, event_ndims, features):
    """Makes the rows of an output and its log-det NaN whose argument or features aren't finite.

    TensorFlow's fused MatMul, BiasAdd and Relu turns NaN into 0 on a CPU, by which a bad row would
    give a good-looking output.
    """
    output, log_det = result
    rows = [(argument, argument.shape.rank - event_ndims)]
    if bijector.cond_shape is not None:
        rows += condition_parts("features", features, bijector.cond_shape).values()
    bad = sum(
        tf.reduce_sum(tf.stop_gradient(tf.cast(t, output.dtype)) * 0, axis=range(n, t.shape.rank))
        for t, n in rows
    )
    event = tf.ones([output.shape.rank - log_det.shape.rank], tf.int32)
    return output + tf.reshape(bad, tf.concat([tf.shape(bad), event], 0)), log_det + bad


# Every subclass of `tfd.TransformedDistribution` is a composite tensor. With TFP's own spec, which
# its metaclass puts in place of one in the class body, a `tf.Module` that holds one would find no
# variables in it.
ConditionalTransformedDistribution._type_spec = property(lambda dist: Spec(dist, dist._layers))


class _Bound(ConditionalBijector):
    """A bijector with its condition bound: f(z) = f(z; features), of the condition's batch."""

    conditional = False

    def __init__(self, bijector: ConditionalBijector, features: Any, batch: Batch):
        super().__init__(bijector.inverse_min_event_ndims, bijector.forward_min_event_ndims)
        self._bijector = bijector
        self._features = self._no_dependency(features)
        self._cond_batch = self._no_dependency(batch)

    def _latent_shape(self, event_shape):
        return self._bijector._latent_shape(event_shape)

    def _data_shape(self, latent_shape):
        return self._bijector._data_shape(latent_shape)

    def _batch_shape(self, x_event_ndims):
        return self._cond_batch.static

    def _batch_shape_tensor(self, x_event_ndims):
        return tf.convert_to_tensor(self._cond_batch.value, tf.int32)

    def _one_pass(self, argument, value, cond, event_ndims):
        result = self._bijector._one_pass(argument, value, self._features, event_ndims)
        return _nan_rows(self._bijector, result, value, event_ndims, self._features)
