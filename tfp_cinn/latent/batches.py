"""Functions evaluated over a data set, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn.conditions import as_tensors
from tfp_cinn.distribution import ConditionalTransformedDistribution
from tfp_cinn.errors import UsageError
from tfp_cinn.latent.arguments import check_distribution

__all__ = ["latents", "over_batches"]


def latents(
    dist: ConditionalTransformedDistribution, batches: Iterable[tuple[Any, Any]]
) -> np.ndarray:
    """Return the latents z = f^-1(x; h(c)) of a data set, each flattened to D numbers.

    Only one batch and the result are in memory.

    Args:
        dist: the flow's distribution.
        batches: pairs (x, cond), `[*batch, *event]` and `[*batch, *cond_shape]`, such as a
            `tf.data.Dataset`.

    Returns:
        float32 `[N, D]`, N being the number of examples in all batches.

    Raises:
        UsageError: if there are no batches, or x or cond don't fit.
    """
    check_distribution(dist)
    dimensions = math.prod(dist.bijector.latent_shape)
    return over_batches(dist, dist.encode, batches, lambda z: z.reshape(-1, dimensions))


def over_batches(
    dist: ConditionalTransformedDistribution,
    function: Callable[[Any, Any], tf.Tensor],
    batches: Iterable[tuple[Any, Any]],
    as_rows: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Return `function(x, cond)` of all batches, concatenated; traced once for any batch size.

    Args:
        dist: the flow's distribution.
        function: one of its methods.
        batches: pairs (x, cond).
        as_rows: reshapes a batch's values to one row per example.

    Raises:
        UsageError: if there are no batches, or one isn't a pair.
    """
    traced, parts = tf.function(function, reduce_retracing=True), []
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise UsageError("batches: expected pairs (x, cond), such as [(x, cond)] for one batch")
        # NumPy arrays would become constants of the graph: a new trace for every batch.
        x, cond = tf.convert_to_tensor(batch[0]), as_tensors(batch[1], dist.cond_shape)
        if not parts and x.shape.rank == len(dist.event_shape) + 1:
            traced.get_concrete_function(
                _of_any_batch(x, tuple(dist.event_shape)), _of_any_batch(cond, dist.cond_shape)
            )
        parts.append(as_rows(traced(x, cond).numpy()))
    if not sum(map(len, parts)):
        raise UsageError("batches: expected one example or more, got none")
    return np.concatenate(parts)


def _of_any_batch(tensor, event_shape):
    """Return tensor specs with the batch size left open where there is one batch dimension."""
    if isinstance(tensor, Mapping):
        return {key: _of_any_batch(part, event_shape[key]) for key, part in tensor.items()}
    if tensor is None or event_shape is None:
        return tensor
    shape = tensor.shape.as_list()
    if len(shape) == len(event_shape) + 1:
        shape[0] = None
    return tf.TensorSpec(shape, tensor.dtype)
