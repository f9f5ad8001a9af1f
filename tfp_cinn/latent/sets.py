"""Latents and likelihoods of a whole data set, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn.conditions import as_tensors
from tfp_cinn.distribution import ConditionalTransformedDistribution

__all__ = ["latents", "nats_per_dim"]


def latents(dist: ConditionalTransformedDistribution, batches: Iterable[Any]) -> np.ndarray:
    """Return the latents z = f^-1(x; h(c)) of a data set, each flattened: float32 `[N, D]`.

    Its batches are pairs (x, cond), or x alone, such as a `tf.data.Dataset` yields.
    """
    shape = [-1, math.prod(dist.bijector.latent_shape)]
    return np.concatenate([np.reshape(z, shape) for z in _each(dist, dist.encode, batches)])


def nats_per_dim(dist: ConditionalTransformedDistribution, batches: Iterable[Any]) -> np.ndarray:
    """Return -log p(x | c) / D of each example of a data set, in nats/dim: `[N]`.

    A density depends on the units of the data: compare only x of one shape with the same noise.
    The likeliest images are simple ones, such as plain areas, not the best ones. Batches are as in
    `latents`.
    """
    log_prob = np.concatenate([np.ravel(each) for each in _each(dist, dist.log_prob, batches)])
    return -log_prob / math.prod(dist.event_shape)


def _each(dist, method: Callable[[Any, Any], tf.Tensor], batches: Iterable[Any]):
    traced = tf.function(method, reduce_retracing=True)
    for batch in batches:
        x, cond = batch if isinstance(batch, tuple) else (batch, None)
        # NumPy arrays would become constants of the graph: a new trace for every batch.
        yield traced(tf.convert_to_tensor(x), as_tensors(cond, dist.cond_shape)).numpy()
