"""The trainable model."""

from __future__ import annotations

import inspect
import math
import os
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_cinn import keras_fit_mend
from tfp_cinn.bijectors import ConditionalBijector, computing
from tfp_cinn.bijectors.recompute import BOUND, reconstruction_errors
from tfp_cinn.bijectors.shapes import Shape, condition_parts, map_shape
from tfp_cinn.conditions import as_tensors, build_flow, refuse_strings
from tfp_cinn.distribution import ConditionalTransformedDistribution, standard_normal
from tfp_cinn.errors import UsageError
from tfp_cinn.files import user_path, writing
from tfp_cinn.model_files import load_file, serialize_shared, sharing, why_not_savable
from tfp_cinn.replicas import Ballot, Totals, over_replicas, share_of_loss
from tfp_cinn.step_guard import StepGuard

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
    * `bits_per_dim`: nats_per_dim / log 2. Where x is an integer gray level v plus uniform noise
      u in [0, 1) ("dequantization"), it is an upper bound of -log2 P(v | c) / D of the discrete
      data, with no further scaling term (Theis, van den Oord and Bethge, arXiv 1511.01844,
      sec. 3.1). With other noise it is the same quantity of the noisy data.

    A step whose loss or gradient is NaN or infinite changes neither weights nor optimizer: `fit`
    stops with a `NonFiniteStepError` that names the batch and what went wrong first, the data, the
    conditioner or a bijector. (Not with `jit_compile=True`, where a graph can't be left that way.)

    The dataset yields `(x, cond)` or `(x, cond, sample_weight)`; if `cond_shape` is None, `x` or
    `(x, None, sample_weight)`. A pair is never x and its weights. With weights w >= 0, `[N]`, given
    so or as `sample_weight=` or `class_weight=` (which needs `cond_shape=()`), each mean above is
    sum(w v) / sum(w), over the whole batch in a step and over all examples in what is reported.

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
        # A global mixed policy is for networks: Keras would round the flow's own weights where they
        # are read within `call`.
        super().__init__(**kwargs | {"dtype": keras.config.floatx()})
        if not weight_prior >= 0:
            raise UsageError(f"weight_prior: expected 0 or more, got {weight_prior}")
        # x is cast by the distribution alone.
        self.autocast = False
        self.event_shape = map_shape(tuple, event_shape)
        self.weight_prior = float(weight_prior)
        self.conditioner = conditioner
        self.bijector = bijector
        self._cond_shape = map_shape(tuple, cond_shape)
        build_flow(bijector, self.event_shape, conditioner, self._cond_shape)
        self._distribution = ConditionalTransformedDistribution(
            standard_normal(bijector.latent_shape),
            bijector,
            conditioner,
            self._cond_shape,
            name=self.name,
        )
        # Keras finds weights in layers that it holds itself, not in a bijector's.
        self.flow_layers = bijector.layers
        self._loss_metric = keras_fit_mend.GlobalMean(name="loss")
        self._nats_metric = keras_fit_mend.GlobalMean(name="nats_per_dim")
        self._bits_metric = keras_fit_mend.GlobalMean(name="bits_per_dim")
        self._reconstruction_metric = keras_fit_mend.GlobalMean(name="reconstruction_error")
        self._computing = {"shards": 1, "memory": "store"}
        self.ballot: Ballot | None = None
        self._guard = StepGuard()
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
        metrics = [self._loss_metric, self._nats_metric, self._bits_metric]
        return metrics + [self._reconstruction_metric] * self._recomputes

    @property
    def _recomputes(self):
        return self._computing["memory"] == "recompute"

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """Return log p(x | cond) in nats, `[N]`, for inputs `(x, cond)`, or x alone."""
        x, cond, _ = self._parts(inputs)
        with computing(**self._computing):
            return self._distribution.log_prob(x, cond)

    def compile(
        self,
        optimizer: Any = "adam",
        jit_compile: bool = False,
        shards: int = 1,
        memory: str = "store",
        **kwargs: Any,
    ) -> None:
        """Configure training.

        With memory="recompute" the backward pass rebuilds activations by decoding z, member by
        member, so that the memory they take doesn't grow with the number of members; each subnet is
        evaluated once more. Rounding in it may be amplified: `fit` therefore reports
        `reconstruction_error`, max|x rebuilt - x| / (max x - min x) of a batch, mean over the
        batches, and stops before a step in which it exceeds 0.01. See docs/memory.md.

        Args:
            optimizer: a Keras optimizer or its name.
            jit_compile: whether to compile the steps with XLA, which is slower on a CPU.
            shards: into how many parts a batch is cut, which are computed side by side, each by one
                thread: faster for dense subnets on a CPU, with as many shards as cores and after
                `tf.config.threading.set_intra_op_parallelism_threads(1)`. Not saved with the model.
            memory: "store" or "recompute".
            **kwargs: of `keras.Model.compile`, without loss and metrics: the model has its own.

        Raises:
            UsageError: if a loss or metrics are given, memory is something else, shards in a
                flow with batch normalization, which needs the whole batch, or an optimizer that
                accumulates gradients on several replicas.
        """
        settings = {"shards": shards, "memory": memory}
        computing(**settings)
        parts = [part for layer in self.flow_layers for part in layer._flatten_layers()]
        if shards > 1 and any(isinstance(p, keras.layers.BatchNormalization) for p in parts):
            raise UsageError(
                f"shards: expected 1, got {shards}; this flow has batch normalization, which needs "
                "the whole batch"
            )
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if kwargs.get(name):
                raise UsageError(f"compile: {name} can't be given; a CINN has its own")
        replicas = self.distribute_strategy.num_replicas_in_sync
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        if replicas > 1 and getattr(inner, "gradient_accumulation_steps", None):
            # Keras updates weights within a condition there, where TensorFlow can't.
            raise UsageError(
                f"gradient_accumulation_steps: expected none on {replicas} replicas; take larger "
                "batches, or train on one"
            )
        self._computing = settings
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)

    def get_compile_config(self) -> dict[str, Any] | None:
        """Return the arguments of `compile`."""
        config = super().get_compile_config()
        return config and config | {"memory": self._computing["memory"]}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile a loaded model as it was compiled when saved."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Train; see `keras.Model.fit`.

        Raises:
            NonFiniteStepError: if a loss or a gradient is NaN or infinite.
            UsageError: if, with memory="recompute", x can't be rebuilt from z.
        """
        arguments = inspect.signature(super().fit).bind(*args, **kwargs).arguments
        if isinstance(arguments.get("x"), (tf.data.Dataset, tf.distribute.DistributedDataset)):
            arguments.setdefault("shuffle", False)  # Keras warns of its own default
        refuse_strings(arguments.get("x"), arguments.get("y"))
        problem = why_not_savable(self)
        if problem:
            warnings.warn(f"{self.name} can't be saved: {problem}", stacklevel=2)
        if arguments.get("class_weight") is not None and self._cond_shape != ():
            raise UsageError(
                "class_weight: expected a model with class labels as its condition, cond_shape=(); "
                "use sample_weight"
            )
        arguments |= self._with_condition(**arguments)
        validation = arguments.get("validation_data")
        if isinstance(validation, tuple) and len(validation) == 3:
            named = dict(zip(("x", "y", "sample_weight"), validation, strict=True))
            arguments["validation_data"] = tuple((named | self._with_condition(**named)).values())
        callbacks = keras.tree.flatten(arguments.get("callbacks") or [])
        for callback in callbacks:
            # Keras infers a direction only for metrics that `compile` was given.
            if getattr(callback, "mode", None) == "auto" and self._has_metric(callback.monitor):
                callback.mode = "min"
        arguments["callbacks"] = [*callbacks, self._guard]
        self._guard.on_train_begin()
        try:
            return super().fit(**arguments)
        except (tf.errors.OpError, UsageError):
            failure = self._guard.failure()
            if failure is None:
                raise
            raise failure from None

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Return the metrics over data as `fit` takes them; see `keras.Model.evaluate`."""
        arguments = inspect.signature(super().evaluate).bind(*args, **kwargs).arguments
        arguments |= arguments.pop("kwargs", {})
        return super().evaluate(**arguments | self._with_condition(**arguments))

    def predict_step(self, data: Any) -> tf.Tensor:
        """Return log p(x | cond) in nats, `[N]`; `predict` takes a dataset, or `(x, cond)`."""
        if isinstance(data, (tuple, list)) and len(data) == 1:  # as Keras wraps a pair of arrays
            (data,) = data
        return self(self._parts(data)[:2], training=False)

    def export(self, filepath: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Refuse: `tfp_cinn.export.export_model` writes the several signatures of a flow."""
        raise UsageError(
            f"CINN.export writes no signatures of a flow; call "
            f"tfp_cinn.export.export_model(model, {os.fspath(filepath)!r})"
        )

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Take one step of maximum likelihood training.

        On several replicas, `data` is the part of the batch that this one has; all parts are of one
        size. The gradient is that of the whole batch, clipped as such.
        """
        weights = self.trainable_weights
        with tf.GradientTape() as tape:
            loss, nats, count = self._batch_losses(data, training=True)
            share = self.optimizer.scale_loss(share_of_loss(loss, nats, count))
        with reconstruction_errors() as errors:
            gradients = tape.gradient(share, [w.value for w in weights])
        error = tf.reduce_max(errors) if errors else tf.zeros_like(loss)
        # A loss that isn't finite is said as such: from its z nothing can be rebuilt.
        error = tf.where(tf.math.is_finite(loss), error, tf.zeros_like(error))
        finite = tf.math.is_finite(loss) & self._finite(gradients)
        totals = over_replicas(loss, nats, count, finite & (error <= BOUND), self.ballot)
        guard = []
        if not self.jit_compile:
            batch = zip(("x", "cond", "weight"), self._parts(data), strict=True)
            batch = {name: part for name, part in batch if part is not None}
            guard = [self._guard.check(self, totals, batch, gradients, error)]
        # Not around the optimizer's own operations: released all at once, they take more memory.
        with tf.control_dependencies(guard):
            gradients = [g if g is None else tf.identity(g) for g in gradients]
            # The metrics don't count a step that is stopped either.
            totals = tf.nest.map_structure(tf.identity, totals)
            error = keras_fit_mend.mean(error) if errors else error
        if weights:
            gradients = keras_fit_mend.sum_gradients(gradients)
            keras_fit_mend.apply_gradients(self.optimizer, gradients, weights)
        if not errors:
            return self._report(totals)
        self._reconstruction_metric.update_state(error)
        return self._report(totals, self._reconstruction_metric)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Return the figures of one batch; the replicas' parts of it may have any size."""
        return self._report(over_replicas(*self._batch_losses(data, training=False)))

    def _batch_losses(self, data, training):
        """Loss, nats/dim and number of examples, or sum of their weights, of a replica's batch."""
        x, cond, weight = self._parts(data)
        log_prob = self((x, cond), training=training)
        count = tf.shape(log_prob)[0]
        if weight is not None:
            weight = tf.cast(weight, log_prob.dtype)
            # Negative weights would reward unlikely data without bound: NaN, which stops training.
            weight = tf.where(weight >= 0, weight, np.nan)
            log_prob, count = weight * log_prob, tf.reduce_sum(weight)
        # Not reduce_mean: a part can be empty.
        total = tf.reduce_sum(log_prob)
        nats = -tf.math.divide_no_nan(total, tf.cast(count, total.dtype)) / self.dimensions
        return nats + self._other_losses(), nats, count

    def _with_condition(self, x=None, y=None, sample_weight=None, **_):
        """Arguments x and y for Keras, which drops the weights of x without y."""
        if y is None and isinstance(x, tuple) and len(x) == 2:
            x, y = x
        if y is None and sample_weight is not None and hasattr(x, "shape"):
            if self._cond_shape is not None:
                raise UsageError(f"{self.name}: sample_weight needs x and cond; got x alone")
            y = np.zeros((len(x), 0), "float32")
        return {"x": x, "y": y}

    def _finite(self, gradients):
        """Whether the optimizer can work with the gradients of this replica."""
        norm = tf.linalg.global_norm(gradients) if gradients else tf.zeros([])
        finite = tf.math.is_finite(norm)
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            # It leaves such a step out and halves its scale: the scale is at fault while above 1.
            finite |= self.optimizer.scale_loss(1.0) > 1
        return finite

    def _has_metric(self, monitor):
        return monitor.removeprefix("val_") in {m.name for m in self.metrics}

    def _parts(self, data):
        """Return x, the condition and the weights in what a dataset yields, None for no such."""
        x, cond, weight, *more = (
            *(data if isinstance(data, (tuple, list)) else [data]),
            None,
            None,
        )
        if self._cond_shape is None and getattr(cond, "shape", (1,))[1:] == (0,):
            cond = None  # in its place, for weights of x alone
        if any(m is not None for m in more) or (cond is None) != (self._cond_shape is None):
            alone = self._cond_shape is None
            expected = "x alone, or (x, None, sample_weight)" if alone else "pairs (x, cond)"
            count = sum(part is not None for part in (x, cond, weight, *more))
            raise UsageError(
                f"{self.name}: expected {expected}, got {count} part{'s' * (count != 1)}; to draw "
                "x use distribution.sample"
            )
        if weight is not None and weight.shape.rank != 1:
            raise UsageError(
                f"{self.name}: expected sample_weight of shape [N], one for each x, got "
                f"{weight.shape}"
            )
        x = tf.convert_to_tensor(x)
        if x.shape.rank is None or not x.shape[1:].is_compatible_with(self.event_shape):
            hint = "; x comes first, then cond" if cond is not None else ""
            raise UsageError(
                f"{self.name}: expected x of shape {(None, *self.event_shape)}, the batch first, "
                f"got {x.shape}{hint}"
            )
        if not x.dtype.is_floating:
            raise UsageError(f"{self.name}: expected x of a float dtype, got {x.dtype.name}")
        cond = as_tensors(cond, self._cond_shape)
        # Labels [N, 1] with x [N] would broadcast, and train on all pairs.
        for name, (_, ndims) in condition_parts(self.name, cond, self._cond_shape).items():
            if ndims != 1:
                raise UsageError(
                    f"{self.name}: expected {name} with one batch dimension before the shape of "
                    f"one example, got {ndims}; reshape it"
                )
        return x, cond, weight

    def _check_batches(self, spec):
        """Refuse data that don't fit before a graph of them is made."""

        def placeholder(part):
            known = isinstance(part, tf.TensorSpec)
            return tf.compat.v1.placeholder(part.dtype, part.shape) if known else None

        with tf.Graph().as_default():
            self._parts(tf.nest.map_structure(placeholder, spec))

    def _other_losses(self):
        """Weight prior, and what layers of the conditioner or the subnets add by themselves."""
        total = sum(self.losses, 0.0)
        if self.weight_prior and self.trainable_weights:
            squares = tf.add_n([tf.nn.l2_loss(w.value) for w in self.trainable_weights])
            total += self.weight_prior * squares
        return total

    def _report(self, totals: Totals, *others: keras.metrics.Metric):
        self._loss_metric.update_state(totals.loss, sample_weight=totals.count)
        self._nats_metric.update_state(totals.nats, sample_weight=totals.count)
        self._bits_metric.update_state(totals.nats / math.log(2.0), sample_weight=totals.count)
        reported = self._loss_metric, self._nats_metric, self._bits_metric, *others
        return keras_fit_mend.reported({m.name: m.result() for m in reported})

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Here Keras knows the data, and hasn't traced a step yet.
        if iterator is not None and self._distribute_strategy is None:
            self._check_batches(iterator._distributed_dataset.element_spec)
        keras_fit_mend.build_optimizer(self)

    def save(self, filepath: str | os.PathLike, overwrite: bool = True, **kwargs: Any) -> None:
        """Save architecture, weights and optimizer as one `.keras` file, whole or not at all.

        Raises:
            UsageError: if the file can't be written, or `load_model` couldn't rebuild the model;
                the file that was there is unharmed.
        """
        problem = why_not_savable(self)
        if problem:
            raise UsageError(f"{self.name}: can't be saved: {problem}")
        with self._replacing(filepath, ".keras", overwrite) as scratch:
            super().save(scratch, **kwargs)

    def save_weights(
        self, filepath: str | os.PathLike, overwrite: bool = True, **kwargs: Any
    ) -> None:
        """Save the weights as one `.weights.h5` file, whole or not at all; see `save`."""
        if kwargs.get("max_shard_size"):  # several files
            return super().save_weights(filepath, overwrite, **kwargs)
        with self._replacing(filepath, ".weights.h5", overwrite) as scratch:
            super().save_weights(scratch, **kwargs)

    def _replacing(self, filepath, ending, overwrite):
        path = pathlib.Path(filepath)
        if not path.name.endswith(ending):
            raise UsageError(f"{path}: expected a file name that ends in {ending}")
        if not overwrite and path.exists():
            raise UsageError(f"{path}: is there already; set overwrite=True to replace it")
        return writing(path)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        bijector, conditioner = serialize_shared(self.bijector, self.conditioner)
        return super().get_config() | {
            "bijector": bijector,
            "event_shape": list(self.event_shape),
            "conditioner": conditioner,
            "cond_shape": map_shape(list, self._cond_shape),
            "weight_prior": self.weight_prior,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> CINN:
        """Rebuild the model of a `get_config`, with new weights.

        Raises:
            UsageError: if this process computes in another precision than the model.
        """
        config = dict(config)
        made = keras.dtype_policies.get(config.pop("dtype")).variable_dtype
        if made != keras.config.floatx():
            raise UsageError(
                f"made with keras.config.set_floatx({made!r}), loaded with "
                f"{keras.config.floatx()!r}; set the same before loading"
            )
        trainable = config.pop("trainable", True)
        with sharing():
            for key in ("bijector", "conditioner"):
                config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects)
            model = cls(**config)
        if not trainable:
            model.trainable = False
        return model


def load_model(path: str | os.PathLike, custom_objects: Mapping[str, Any] | None = None) -> CINN:
    """Load a model that was saved as a `.keras` file, by `model.save(path)` or by training.

    Keras's safe mode holds: nothing in the file is executed, and classes are used only if they are
    Keras's own or registered in this process.

    `custom_objects` are classes and functions that aren't registered, by name. The model is
    compiled if it was when saved.

    Raises:
        UsageError: if there is no such file, it is damaged, holds another kind of model, or more
            than a model.
    """
    path = os.fspath(user_path(path))
    model = load_file(path, custom_objects)
    if not isinstance(model, CINN):
        raise UsageError(f"{path}: expected a tfp_cinn.CINN, got a {type(model).__name__}")
    return model
