"""What Keras 3.15's `fit` gets wrong on several replicas, and how `CINN` avoids it.

All that works around Keras is here.

* `fit` under `MultiWorkerMirroredStrategy` fails (keras-team/keras#20585): it reduces what a step
  returns over axis 0, which scalars don't have. `reported` returns them with such an axis.
* Before that, `fit` takes a batch to build the model symbolically, and averages it over replicas,
  which fails on pairs; the batch is lost to training as well. A `CINN` is built when it is made, so
  it overrides `_maybe_symbolic_build` by `build_optimizer`.
* Optimizers clip each replica's share of the gradient and then sum the shares: the bound holds for
  none of the gradients that it is meant for. `sum_gradients` sums them first, `apply_gradients`
  has the optimizer clip and apply the sum as it is.
* Metrics sum over replicas when they are read, which workers then have to do together: a chief that
  saves its metrics waits for ever. `GlobalMean` holds the mean over all replicas on each.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

__all__ = ["GlobalMean", "apply_gradients", "build_optimizer", "mean", "reported", "sum_gradients"]


def build_optimizer(model: keras.Model) -> None:
    """Make the optimizer's variables where `fit` would build model and optimizer."""
    # Not in the step's graph: one that fails to trace would leave it without.
    if model.optimizer is not None and not model.optimizer.built:
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)


def reported(values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return a step's `values`, scalars that replicas agree on, as `fit` can report them."""
    if isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
        return {name: tf.reshape(value, [1]) for name, value in values.items()}
    return values


def sum_gradients(gradients: Sequence[tf.Tensor | None]) -> list[tf.Tensor | None]:
    """Return the gradients of all replicas, summed; None where there is none."""
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return list(gradients)
    summed = iter(replica.all_reduce("SUM", [g for g in gradients if g is not None]))
    return [g if g is None else next(summed) for g in gradients]


def mean(value: tf.Tensor) -> tf.Tensor:
    """Return the mean of a value over all replicas."""
    replica = tf.distribute.get_replica_context()
    return value if replica.num_replicas_in_sync == 1 else replica.all_reduce("MEAN", value)


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[tf.Tensor | None],
    weights: Sequence[keras.Variable],
) -> None:
    """Clip and apply gradients that are summed over replicas already."""
    pairs = zip(gradients, weights, strict=True)
    if tf.distribute.get_replica_context().num_replicas_in_sync == 1:
        optimizer.apply_gradients(pairs)
        return
    add_up = _take_sums(getattr(optimizer, "inner_optimizer", optimizer))
    add_up.callers += 1
    try:
        optimizer.apply_gradients(pairs)
    finally:
        add_up.callers -= 1


class GlobalMean(keras.metrics.Mean):
    """A mean that each replica updates with the same value, that of all replicas together."""

    def add_variable(self, *args: Any, **kwargs: Any) -> keras.Variable:
        """Add a variable that is read on any replica alone."""
        return super().add_variable(*args, **kwargs, aggregation="only_first_replica")


def _take_sums(optimizer: keras.optimizers.Optimizer) -> Any:
    """Make an optimizer leave alone the gradients that `apply_gradients` hands to it.

    It counts its callers, the replicas of this process, since `LossScaleOptimizer` goes on in
    threads of its own.
    """
    add_up = optimizer._all_reduce_sum_gradients
    if not hasattr(add_up, "callers"):

        @functools.wraps(add_up)
        def unless_summed(pairs):
            return list(pairs) if unless_summed.callers else add_up(pairs)

        unless_summed.callers = 0
        optimizer._all_reduce_sum_gradients = unless_summed
    return optimizer._all_reduce_sum_gradients
