"""Likelihood of held-out data, and classification by likelihood."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from tfp_cinn.errors import UsageError
from tfp_cinn.metrics.figure import Figure, metric
from tfp_cinn.model import CINN

__all__ = ["class_accuracy", "likelihood"]


def likelihood(
    model: CINN, batches: tf.data.Dataset, groups: np.ndarray | None = None
) -> list[Figure]:
    """Return the mean of -log p(x | c) over a data set, in up to three units.

    They are `nats` of a whole x, `nats_per_dim` and, where x is an image, `bits_per_dim`. For
    uniformly dequantized gray levels, as from `tfp_cinn.data.evaluation_batches`, it is an upper
    bound for the discrete data (see `tfp_cinn.CINN`).

    Args:
        model: the model.
        batches: pairs (x, condition), or x alone.
        groups: `[N]`, the group of each example, if examples of a group depend on each other; the
            error is then from a bootstrap over groups.
    """
    log_prob = tf.function(model.distribution.log_prob)
    values = -np.concatenate([log_prob(*as_pair(batch)).numpy() for batch in batches])
    total = Figure.average(values) if groups is None else Figure.bootstrap(values, groups)
    per_dim = total.scaled(1 / model.dimensions)
    bits = per_dim.scaled(1 / math.log(2))
    found = [
        total.named("nats", "nats", "-log p(x | c) of test data; lower is better"),
        per_dim.named("nats_per_dim", "nats/dim", "the same / D, the number of entries of x"),
        bits.named(
            "bits_per_dim", "bits/dim", "nats_per_dim / log 2: bounds the code length of a pixel"
        ),
    ]
    return found if len(model.event_shape) == 3 else found[:2]


def as_pair(batch: Any) -> tuple[Any, Any]:
    """Return x and the condition of a batch; None if it is x alone."""
    return batch if isinstance(batch, tuple) else (batch, None)


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
