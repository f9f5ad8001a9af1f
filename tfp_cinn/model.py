"""The trainable model."""

from __future__ import annotations

import inspect
import math
import os
import zipfile
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_cinn import keras_fit_mend
from tfp_cinn.bijectors import ConditionalBijector, computing
from tfp_cinn.bijectors.recompute import BOUND, reconstruction_errors, too_large
from tfp_cinn.bijectors.serialization import is_registered
from tfp_cinn.bijectors.shapes import Shape, condition_parts, map_shape
from tfp_cinn.conditions import features_shape
from tfp_cinn.diagnosis import first_non_finite
from tfp_cinn.distribution import ConditionalTransformedDistribution, standard_normal
from tfp_cinn.errors import NonFiniteStepError, UsageError
from tfp_cinn.model_files import check_model_file
from tfp_cinn.replicas import Ballot, Totals, over_replicas

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

    A step whose loss or gradient is NaN or infinite changes no weight and nothing of the optimizer:
    `fit` stops with a `NonFiniteStepError` that names the batch and what went wrong first, the
    data, the conditioner or a bijector. (Not with `jit_compile=True`, where a graph can't be left
    that way.)

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
        self._loss_metric = keras_fit_mend.GlobalMean(name="loss")
        self._nats_metric = keras_fit_mend.GlobalMean(name="nats_per_dim")
        self._bits_metric = keras_fit_mend.GlobalMean(name="bits_per_dim")
        self._reconstruction_metric = keras_fit_mend.GlobalMean(name="reconstruction_error")
        self._computing = {"shards": 1, "memory": "store"}
        self.ballot: Ballot | None = None
        self._failure: tuple[int, UsageError] | None = None
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
        """Returns log p(x | cond) in nats, `[N]`, for inputs `(x, cond)`, or x alone."""
        x, cond = self._unpack(inputs)
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
        """Configures training.

        On a CPU, `shards` parts of a batch are computed side by side, each by one thread, where
        otherwise all threads share every matrix product: for dense subnets that is faster, if there
        are as many shards as cores and `tf.config.threading.set_intra_op_parallelism_threads(1)`
        was called first. It isn't saved with the model. Values are the same up to rounding. The
        model's `distribution` computes plainly, but within `bijectors.computing(shards, memory)`.

        With memory="recompute" the backward pass rebuilds activations by decoding z, member by
        member, so that in a training step the memory they take doesn't grow with the number of
        members; each subnet is evaluated once more. Gradients are those of "store" up to rounding,
        which every member of the flow may amplify. `fit` therefore reports `reconstruction_error`,
        max|x rebuilt - x| / (max x - min x) of a batch, mean over the batches, and stops before a
        step in which it exceeds 0.01. docs/memory.md has the costs and the limits.

        Args:
            optimizer: a Keras optimizer or its name.
            jit_compile: whether to compile the steps with XLA. Off by default: on a CPU the
                compiled step is slower.
            shards: into how many parts a batch is cut.
            memory: "store" or "recompute".
            **kwargs: of `keras.Model.compile`, without loss and metrics: the model has its own.

        Raises:
            UsageError: if a loss or metrics are given, memory is something else, or shards in a
                flow with batch normalization, which needs the whole batch.
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
        self._computing = settings
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)

    def get_compile_config(self) -> dict[str, Any] | None:
        """Returns the arguments of `compile`."""
        config = super().get_compile_config()
        return config and config | {"memory": self._computing["memory"]}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model as it was compiled when saved."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains; see `keras.Model.fit`.

        Raises:
            NonFiniteStepError: if a loss or a gradient is NaN or infinite.
            UsageError: if, with memory="recompute", x can't be rebuilt from z.
        """
        arguments = inspect.signature(super().fit).bind(*args, **kwargs).arguments
        if isinstance(arguments.get("x"), (tf.data.Dataset, tf.distribute.DistributedDataset)):
            arguments.setdefault("shuffle", False)  # Keras warns of its own default
        where = _Position()
        arguments["callbacks"] = _with_callback(arguments.get("callbacks"), where)
        self._failure = None
        try:
            return super().fit(**arguments)
        except (tf.errors.OpError, UsageError):
            if self._failure is None:
                raise
            step, error = self._failure
            raise type(error)(f"{where.of(step)}: {error}") from None

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of maximum likelihood training.

        On several replicas, `data` is the part of the batch that this one has; all parts are of one
        size. The gradient is that of the whole batch, clipped as such.
        """
        with tf.GradientTape() as tape:
            loss, nats, count = self._batch_losses(data, training=True)
            share = loss / tf.distribute.get_strategy().num_replicas_in_sync
        with reconstruction_errors() as errors:
            gradients = tape.gradient(share, [w.value for w in self.trainable_weights])
        error = tf.reduce_max(errors) if errors else tf.zeros_like(loss)
        # A loss that isn't finite is said as such: from its z nothing can be rebuilt.
        error = tf.where(tf.math.is_finite(loss), error, tf.zeros_like(error))
        finite = tf.math.is_finite(loss) & tf.math.is_finite(tf.linalg.global_norm(gradients))
        totals = over_replicas(loss, nats, count, finite & (error <= BOUND), self.ballot)
        guard = [] if self.jit_compile else [self._stop_if_bad(totals, data, gradients, error)]
        # Not around the optimizer's own operations: released all at once, they take more memory.
        with tf.control_dependencies(guard):
            gradients = [g if g is None else tf.identity(g) for g in gradients]
            # Nor shall the metrics know of the step.
            totals = tf.nest.map_structure(tf.identity, totals)
            error = keras_fit_mend.mean(error) if errors else error
        gradients = keras_fit_mend.sum_gradients(gradients)
        keras_fit_mend.apply_gradients(self.optimizer, gradients, self.trainable_weights)
        if not errors:
            return self._report(totals)
        self._reconstruction_metric.update_state(error)
        return self._report(totals, self._reconstruction_metric)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Loss and likelihoods of one batch, of which replicas may have parts of any size."""
        return self._report(over_replicas(*self._batch_losses(data, training=False)))

    def _batch_losses(self, data, training):
        """Loss, nats/dim and number of examples of one batch, or of a replica's part of it."""
        log_prob = self(data, training=training)
        count = tf.shape(log_prob)[0]
        # Not reduce_mean: a part can be empty.
        total = tf.reduce_sum(log_prob)
        nats = -tf.math.divide_no_nan(total, tf.cast(count, total.dtype)) / self.dimensions
        return nats + self._other_losses(), nats, count

    def _unpack(self, inputs):
        """Takes `(x, cond)` apart; Keras may add None for sample weights."""
        parts = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
        while len(parts) > 1 and parts[-1] is None:
            parts.pop()
        expected = 1 if self._cond_shape is None else 2
        if len(parts) != expected:
            raise UsageError(
                f"{self.name}: expected {'x alone' if expected == 1 else 'pairs (x, cond)'}, got "
                f"{len(parts)} part{'s' * (len(parts) != 1)}"
            )
        x, cond = parts if expected == 2 else (*parts, None)
        # Batches that merely broadcast, such as labels [N, 1] with x [N], would train on all pairs.
        ranks = {"x": (x.shape.rank or 0) - len(self.event_shape)}
        ranks |= {
            part: ndims
            for part, (_, ndims) in condition_parts(self.name, cond, self._cond_shape).items()
        }
        for part, ndims in ranks.items():
            if ndims != 1:
                raise UsageError(
                    f"{self.name}: expected {part} with one batch dimension before the shape of "
                    f"one example, got {ndims}; reshape it"
                )
        return x, cond

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
        keras_fit_mend.build_optimizer(self)

    def _stop_if_bad(self, totals: Totals, data, gradients, error):
        """Ends the training with the reason, if this replica has to stop the step."""
        own = tf.distribute.get_replica_context().replica_id_in_sync_group
        x, cond = self._unpack(data)
        parts = tf.nest.flatten(cond, expand_composites=False) if cond is not None else []

        def stop():
            # What is read here, TensorFlow doesn't change before or after as it happens: this step
            # isn't counted, and the noise that it drew is.
            step = tf.identity(self.optimizer.iterations.value)
            noise = [tf.identity(v.value) for v in self.non_trainable_variables]
            finite = tf.stack([g is None or tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
            with tf.control_dependencies(noise):
                tf.py_function(fail, [step, totals.bad, own, error, finite, x, *parts], [])
            return tf.constant(False)

        def fail(step, bad, own, error, finite, x, *parts):
            cond_eager = None if cond is None else tf.nest.pack_sequence_as(cond, parts)
            if bad != own:
                failure = NonFiniteStepError(
                    f"the loss or gradient of replica {int(bad)} is NaN or infinite; its worker "
                    "says why"
                )
            elif not error <= BOUND:  # NaN included
                failure = UsageError(too_large(error))
            else:
                failure = NonFiniteStepError(self._why_not_finite(x, cond_eager, finite.numpy()))
            self._failure = int(step), failure
            raise failure

        return tf.cond(totals.stops, stop, lambda: tf.constant(True))

    def _why_not_finite(self, x, cond, finite):
        """What went wrong, in eager mode; `finite` says which gradients are."""
        bad = [w for w, good in zip(self.trainable_weights, finite, strict=True) if not good]
        try:
            return first_non_finite(self._distribution, x, cond, bad)
        except UsageError as error:  # such as a label out of range, found only in eager mode
            return str(error)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        for part in (self.bijector, self.conditioner):
            if part is not None and not is_registered(part):
                raise UsageError(
                    f"{self.name}: can't save {type(part).__name__}; register its class with "
                    "keras.saving.register_keras_serializable"
                )
        return super().get_config() | {
            "bijector": keras.saving.serialize_keras_object(self.bijector),
            "event_shape": list(self.event_shape),
            "conditioner": keras.saving.serialize_keras_object(self.conditioner),
            "cond_shape": map_shape(list, self._cond_shape),
            "weight_prior": self.weight_prior,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> CINN:
        """Rebuilds the model of a `get_config`, with new weights."""
        config = dict(config)
        for key in ("bijector", "conditioner"):
            config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects)
        return cls(**config)


class _Position(keras.callbacks.Callback):
    """Knows where training is, for messages."""

    def __init__(self):
        super().__init__()
        self._epoch = self._steps_before = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._steps_before = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))

    def of(self, step: int) -> str:
        """Epoch and batch, counted from 1, of a step counted from 0 over the whole training."""
        return f"epoch {self._epoch + 1}, batch {step - self._steps_before + 1}"


def _with_callback(callbacks: Any, callback: keras.callbacks.Callback) -> Any:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(callback)
        return callbacks
    return [*keras.tree.flatten(callbacks or []), callback]


def load_model(path: str | os.PathLike) -> CINN:
    """Loads a model that was saved as a `.keras` file, by `model.save(path)` or by training.

    Nothing in the file is executed, and classes are used only if they are layers and the like of
    Keras or registered in this process (`tfp_cinn.model_files`; Keras's safe mode comes on top).

    Args:
        path: the file.

    Returns:
        The model, compiled if it was when saved.

    Raises:
        UsageError: if there is no such file, it is damaged, holds another kind of model, or more
            than a model.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise UsageError(f"{path}: no such model file")
    try:
        check_model_file(path)
        model = keras.saving.load_model(path, safe_mode=True)
    except UsageError:
        raise
    except zipfile.BadZipFile:
        raise UsageError(f"{path}: not a .keras file, or cut short") from None
    except Exception as error:  # whatever Keras finds wrong with a stranger's archive
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "could not be loaded" in reason:  # weights under other names
            reason = "its weights aren't those of this version's layers; train it again"
        raise UsageError(f"{path}: can't be loaded as a model: {reason}") from error
    if not isinstance(model, CINN):
        raise UsageError(f"{path}: expected a tfp_cinn.CINN, got a {type(model).__name__}")
    return model
