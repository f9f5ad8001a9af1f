"""Likelihood of held-out data, and classification by likelihood."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
import tqdm

from tfp_cinn.errors import UsageError
from tfp_cinn.metrics.figure import Figure, metric
from tfp_cinn.model import CINN

__all__ = ["bits_per_dim", "class_accuracy", "nats_per_dim"]


@metric("nats/dim", "-log p(x | c) / D of test data; lower is better")
def nats_per_dim(model: CINN, batches: tf.data.Dataset, groups: np.ndarray | None = None) -> Figure:
    """Return the mean of -log p(x | c) / D over a data set.

    For uniformly dequantized gray levels, as from `tfp_cinn.data.evaluation_batches`, it is an
    upper bound for the discrete data (see `tfp_cinn.CINN`).

    Args:
        model: the model.
        batches: pairs (x, condition).
        groups: `[N]`, the group of each example, if examples of a group depend on each other; the
            error is then from a bootstrap over groups.
    """
    log_prob = tf.function(model.distribution.log_prob)
    values = [log_prob(x, cond).numpy() for x, cond in batches]
    values = -np.concatenate(values) / model.dimensions
    return Figure.average(values) if groups is None else Figure.bootstrap(values, groups)


@metric("bits/dim", "nats_per_dim / log 2: for images, bounds the code length of a pixel")
def bits_per_dim(nats: Figure) -> Figure:
    """Return the bits/dim of `nats_per_dim`."""
    return nats.scaled(1 / math.log(2))


@metric("share", "test data whose class has the highest p(x | c)")
def class_accuracy(model: CINN, batches: tf.data.Dataset, num_classes: int) -> Figure:
    """Return the accuracy of the classifier argmax_c p(x | c), with equally likely classes.

    Args:
        model: a class-conditional model.
        batches: pairs (x, label).
        num_classes: number of classes tried for each x.

    Raises:
        UsageError: if the model's condition is not a label.
    """
    if model.cond_shape != ():
        raise UsageError(
            f"class_accuracy: expected a model of class labels, its condition is {model.cond_shape}"
        )
    classes = tf.range(num_classes)[:, tf.newaxis]
    log_prob = tf.function(lambda x: model.distribution.log_prob(x, classes))
    right = [
        tf.argmax(log_prob(x), axis=0, output_type=label.dtype) == label
        for x, label in tqdm.tqdm(batches, "classify", leave=False, disable=None)
    ]
    return Figure.average(np.concatenate(right))
