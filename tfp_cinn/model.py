"""The trainable model."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_cinn.bijectors import Chain, ConditionalBijector, Select
from tfp_cinn.bijectors.shapes import Shape
from tfp_cinn.distribution import (
    ConditionalTransformedDistribution,
    features_shape,
    standard_normal,
)
from tfp_cinn.errors import NonFiniteError, UsageError

__all__ = ["CINN", "load_model"]

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tfp_cinn")
class CINN(keras.Model):
    r"""Conditional invertible neural network: conditioner h, bijector f and base N(0, I).

    Trained by `compile(optimizer)` and `fit(dataset of (x, cond))` on

        loss = -(1/D) mean log p(x | c) + (weight_prior / 2) * sum over weights of w^2

    the maximum likelihood objective of arXiv 1907.02392, eq. 7, in nats per dimension, with the
    Gaussian prior on the weights of its sec. 3.3: weight_prior = 1 / (sigma^2 N D) for a prior of
    variance sigma^2 and N training examples of D dimensions, or the `weight_decay` of the
    reference code's optimizer. It reaches all weights, those of the conditioner included.

    `fit` and `evaluate` report, beside `loss`:

    * `nats_per_dim`: -log p(x | c) / D with the natural logarithm, in the units in which x is
      given. Rescaling inside the flow (`Standardize`) is part of its log-determinant.
    * `bits_per_dim`: nats_per_dim / log 2. Where x is an integer grey level v plus uniform noise
      u in [0, 1) ("dequantisation"), it is an upper bound of -log2 P(v | c) / D of the discrete
      data, with no further scaling term (Theis, van den Oord and Bethge, arXiv 1511.01844,
      sec. 3.1). With other noise it is the same quantity of the noisy data.

    A step whose loss is NaN or infinite changes no weight: `fit` stops with a `NonFiniteError`
    that names the batch and what went wrong first, the data, the conditioner or a bijector. (Not
    with `jit_compile=True`, where a graph can't be left that way.)

    The dataset yields `(x, cond)`, or `x` alone if `cond_shape` is None.

    Args:
        bijector: f, `forward` generates; built here.
        event_shape: shape of x without batch dimension.
        conditioner: h, a Keras layer or model; None hands the condition on as it is.
        cond_shape: shape of the condition without batch dimension, or a dict of shapes, or None
            for no condition. `()` stands for an integer label.
        weight_prior: precision of the Gaussian prior on the weights as above; 0 for none.
        **kwargs: of `keras.Model`.
    """

    def __init__(
        self,
        bijector: ConditionalBijector,
        event_shape: Shape,
        conditioner: keras.layers.Layer | None = None,
        cond_shape: Any = None,
        weight_prior: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not weight_prior >= 0:
            raise UsageError(f"weight_prior: expected 0 or more, got {weight_prior}")
        self.event_shape = tuple(event_shape)
        self.weight_prior = float(weight_prior)
        self.conditioner = conditioner
        self.bijector = bijector
        self._cond_shape = _tuples(cond_shape)
        bijector.build(self.event_shape, features_shape(conditioner, self._cond_shape))
        self._distribution = ConditionalTransformedDistribution(
            standard_normal(bijector.latent_shape),
            bijector,
            conditioner,
            self._cond_shape,
            name=self.name,
        )
        # Keras finds weights in layers that it holds itself, not in a bijector's.
        self.flow_layers = bijector.layers
        self._check_all_weights_are_ours()
        self._loss_metric = keras.metrics.Mean(name="loss")
        self._nats_metric = keras.metrics.Mean(name="nats_per_dim")
        self._bits_metric = keras.metrics.Mean(name="bits_per_dim")
        self._failure: NonFiniteError | None = None
        self.built = True

    @property
    def distribution(self) -> ConditionalTransformedDistribution:
        """p(x | c), with the weights of this model."""
        return self._distribution

    @property
    def cond_shape(self) -> Any:
        """Shape of the condition without batch dimension; a dict for several parts."""
        return self._cond_shape

    @property
    def dimensions(self) -> int:
        """Number of dimensions D of one x."""
        return math.prod(self.event_shape)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The metrics that `fit` and `evaluate` report."""
        return [self._loss_metric, self._nats_metric, self._bits_metric]

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """Returns log p(x | cond) in nats, `[N]`, for inputs `(x, cond)`, or x alone."""
        x, cond = self._unpack(inputs)
        return self._distribution.log_prob(x, cond)

    def compile(self, optimizer: Any = "adam", jit_compile: bool = False, **kwargs: Any) -> None:
        """Configures training.

        Args:
            optimizer: a Keras optimizer or its name.
            jit_compile: whether to compile the steps with XLA. Off by default: on a CPU the
                compiled step is slower.
            **kwargs: of `keras.Model.compile`; there is no `loss`, the model has its own.
        """
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model as it was compiled when saved."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains; see `keras.Model.fit`.

        Raises:
            NonFiniteError: if a loss is NaN or infinite.
        """
        if isinstance(kwargs.get("x", args[0] if args else None), tf.data.Dataset):
            kwargs.setdefault("shuffle", False)  # Keras warns of its own default
        where = _Position()
        kwargs["callbacks"] = _with_callback(kwargs.get("callbacks"), where)
        self._failure = None
        try:
            return super().fit(*args, **kwargs)
        except (tf.errors.OpError, NonFiniteError):
            if self._failure is None:
                raise
            raise NonFiniteError(f"{where}: {self._failure}") from None

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of maximum likelihood training."""
        with tf.GradientTape() as tape:
            log_prob = self(data, training=True)
            nats = -tf.reduce_mean(log_prob) / self.dimensions
            loss = nats + self._weight_prior_loss()
        gradients = tape.gradient(loss, [w.value for w in self.trainable_weights])
        guard = [] if self.jit_compile else [self._stop_if_not_finite(loss, data)]
        with tf.control_dependencies(guard):
            self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return self._report(loss, nats, tf.shape(log_prob)[0])

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Loss and likelihoods of one batch."""
        log_prob = self(data, training=False)
        nats = -tf.reduce_mean(log_prob) / self.dimensions
        return self._report(nats + self._weight_prior_loss(), nats, tf.shape(log_prob)[0])

    def _unpack(self, inputs):
        if self._cond_shape is None:
            return (inputs[0] if isinstance(inputs, (tuple, list)) else inputs), None
        if not isinstance(inputs, (tuple, list)) or len(inputs) != 2:
            raise UsageError(
                f"{self.name}: expected pairs (x, cond), got {type(inputs).__name__}"
                + (f" of {len(inputs)}" if isinstance(inputs, (tuple, list)) else "")
            )
        return tuple(inputs)

    def _weight_prior_loss(self):
        if not self.weight_prior:
            return 0.0
        return self.weight_prior * tf.add_n(
            [tf.nn.l2_loss(w.value) for w in self.trainable_weights]
        )

    def _report(self, loss, nats, batch_size):
        self._loss_metric.update_state(loss, sample_weight=batch_size)
        self._nats_metric.update_state(nats, sample_weight=batch_size)
        self._bits_metric.update_state(nats / math.log(2.0), sample_weight=batch_size)
        return {m.name: m.result() for m in self.metrics}

    def _stop_if_not_finite(self, loss, data):
        x, cond = self._unpack(data)
        parts = tf.nest.flatten(cond, expand_composites=False) if cond is not None else []

        def diagnose(x, *parts):
            cond_eager = None if cond is None else tf.nest.pack_sequence_as(cond, parts)
            try:
                reason = self._first_non_finite(x, cond_eager)
            except UsageError as error:  # such as a label out of range, found only in eager mode
                reason = str(error)
            self._failure = NonFiniteError(reason)
            raise self._failure

        def stop():
            tf.py_function(diagnose, [x, *parts], [])
            return tf.constant(False)

        return tf.cond(tf.math.is_finite(loss), lambda: tf.constant(True), stop)

    def _first_non_finite(self, x, cond) -> str:
        """Says in one line what went non-finite first on the way from x to the loss."""
        rows = _bad_rows(x)
        if rows:
            return f"the data x hold NaN or infinite values in {rows}; clean or drop them"
        bad = [w.path for w in self.trainable_weights if not _finite(w.value)]
        if bad:
            return f"the weight {bad[0]} is NaN or infinite; go back to a good checkpoint"
        parts = cond if isinstance(cond, Mapping) else {"cond": cond}
        for name, part in parts.items():
            if part is not None and part.dtype.is_floating and (rows := _bad_rows(part)):
                return f"the condition {name} holds NaN or infinite values in {rows}"
        features = self._distribution.features(cond)
        if not all(_finite(f) for f in tf.nest.flatten(features) if f is not None):
            return "the conditioner's output is the first to be NaN or infinite"
        name = _first_non_finite_bijector(self.bijector, x, features, "")
        if name:
            return (
                f"{name} is the first bijector with a NaN or infinite output; lower the learning "
                "rate"
            )
        return "the squared latents overflow; lower the learning rate"

    def _check_all_weights_are_ours(self):
        known = {id(w.value) for w in self.weights}
        lost = [v.name for v in self.bijector.variables if id(v) not in known]
        if lost:
            raise UsageError(
                f"{self.name}: the variable {lost[0]} belongs to a TFP bijector, where Keras can't "
                "train or save it; use this package's own bijectors instead"
            )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "bijector": self.bijector,
            "event_shape": list(self.event_shape),
            "conditioner": self.conditioner,
            "cond_shape": _lists(self._cond_shape),
            "weight_prior": self.weight_prior,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> CINN:
        """Rebuilds the model of a `get_config`, with new weights."""
        config = dict(config)
        for key in ("bijector", "conditioner"):
            if isinstance(config[key], Mapping):
                config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects)
        return cls(**config)


class _Position(keras.callbacks.Callback):
    """Knows where training is, for messages."""

    def __init__(self):
        super().__init__()
        self._epoch = self._batch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self._batch = batch

    def __str__(self):
        return f"epoch {self._epoch + 1}, batch {self._batch + 1}"


def _with_callback(callbacks: Any, callback: keras.callbacks.Callback) -> Any:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(callback)
        return callbacks
    return [*keras.tree.flatten(callbacks or []), callback]


def _finite(t: tf.Tensor) -> bool:
    return bool(tf.reduce_all(tf.math.is_finite(t)))


def _bad_rows(t: tf.Tensor) -> str:
    """Names the rows of t with a NaN or infinity; empty if there are none."""
    finite = tf.reduce_all(tf.math.is_finite(tf.reshape(t, [tf.shape(t)[0], -1])), axis=1)
    rows = tf.where(~finite)[:, 0].numpy()
    if not rows.size:
        return ""
    return f"{rows.size} of its {finite.shape[0]} rows (the first is row {rows[0]})"


def _first_non_finite_bijector(bijector: Any, x: tf.Tensor, cond: Any, path: str) -> str | None:
    """Path of the first bijector whose output or log-determinant is not finite, or None."""
    if isinstance(bijector, Select):
        inner = f"{path}Select({bijector.key!r})."
        return _first_non_finite_bijector(bijector.bijector, x, cond[bijector.key], inner)
    if not isinstance(bijector, Chain):
        z, log_det = bijector.inverse_and_log_det(x, cond)
        good = _finite(z) and _finite(log_det)
        return None if good else f"{path}{type(bijector).__name__}"
    for index, (member, z, log_det) in enumerate(bijector.inverse_steps(x, cond)):
        if not (_finite(z) and _finite(log_det)):
            here = f"{path}{type(bijector).__name__}[{index}]."
            if isinstance(member, (Chain, Select)):
                return _first_non_finite_bijector(member, x, cond, here)
            return f"{here}{type(member).__name__}"
        x = z
    return None


def _tuples(shape: Any) -> Any:
    if isinstance(shape, Mapping):
        return {key: tuple(s) for key, s in shape.items()}
    return None if shape is None else tuple(shape)


def _lists(shape: Any) -> Any:
    if isinstance(shape, Mapping):
        return {key: list(s) for key, s in shape.items()}
    return None if shape is None else list(shape)


def load_model(path: str | os.PathLike) -> CINN:
    """Loads a model that was saved as a `.keras` file, by `model.save(path)` or by training.

    Nothing in the file is executed (Keras's safe mode).

    Args:
        path: the file.

    Returns:
        The model, compiled if it was when saved.

    Raises:
        UsageError: if there is no such file, it is damaged, or holds another kind of model.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise UsageError(f"{path}: no such model file")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise UsageError(f"{path}: the model file is damaged, in its part {damaged}")
        model = keras.saving.load_model(path, safe_mode=True)
    except UsageError:
        raise
    except zipfile.BadZipFile:
        raise UsageError(f"{path}: not a .keras file, or cut short") from None
    except Exception as error:  # whatever Keras finds wrong with a stranger's archive
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(f"{path}: can't be loaded as a model: {reason}") from error
    if not isinstance(model, CINN):
        raise UsageError(f"{path}: expected a tfp_cinn.CINN, got a {type(model).__name__}")
    return model
