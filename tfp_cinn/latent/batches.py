"""Functions of a whole set, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn.distribution import ConditionalTransformedDistribution
from tfp_cinn.errors import UsageError
from tfp_cinn.latent.arguments import check_distribution

__all__ = ["latents", "over_batches"]


def latents(
    dist: ConditionalTransformedDistribution, batches: Iterable[tuple[Any, Any]]
) -> np.ndarray:
    """Latents z = f^-1(x; h(c)) of a set, each flattened to D numbers.

    Memory is that of a batch and of the result.

    Args:
        dist: the flow's distribution.
        batches: pairs (x, cond), `[B, *event]` and `[B, *cond_shape]`, such as a `tf.data.Dataset`.

    Returns:
        float32 `[N, D]`.

    Raises:
        UsageError: if there are no batches, or x or cond don't fit.
    """
    check_distribution(dist)
    z = over_batches(dist.encode, batches)
    return z.reshape(len(z), -1)


def over_batches(
    function: Callable[[Any, Any], tf.Tensor], batches: Iterable[tuple[Any, Any]]
) -> np.ndarray:
    """Values of `function(x, cond)`, traced once for batches of any size, joined.

    Raises:
        UsageError: if there are no batches, or one is no pair.
    """
    traced, parts = tf.function(function, reduce_retracing=True), []
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise UsageError("batches: expected pairs (x, cond), such as [(x, cond)] for one batch")
        # A NumPy array would be a constant of the graph, and each batch a new trace.
        batch = tf.nest.map_structure(tf.convert_to_tensor, tuple(batch))
        if not parts:
            traced.get_concrete_function(*tf.nest.map_structure(_of_any_batch, batch))
        parts.append(traced(*batch).numpy())
    if not sum(map(len, parts)):
        raise UsageError("batches: expected one example or more, got none")
    return np.concatenate(parts)


def _of_any_batch(tensor):
    return tf.TensorSpec([None] * tensor.shape[:1].rank + tensor.shape[1:].as_list(), tensor.dtype)
