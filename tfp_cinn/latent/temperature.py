"""The same draws at several temperatures."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn.distribution import ConditionalTransformedDistribution
from tfp_cinn.errors import UsageError
from tfp_cinn.latent.arguments import at_least, check_distribution

__all__ = ["sweep"]


def sweep(
    dist: ConditionalTransformedDistribution,
    cond: Any,
    temperatures: Any,
    num_samples: int = 1,
    seed: Any = 0,
) -> tf.Tensor:
    """Sample x = f(T z; h(cond)) for each temperature T, with the same z ~ N(0, I).

    At T = 0 all samples of a condition are f(0), which is neither the mean of the data nor
    necessarily the likeliest image; at 1 they are the model's samples; above 1, z lies where the
    flow saw no data. The published code goes from 0 to 1.5 (`temperature` in mnist_cINN/eval.py).

    Args:
        dist: the flow's distribution.
        cond: the condition, `[*batch, *cond_shape]`.
        temperatures: T numbers, 0 or more.
        num_samples: samples per condition.
        seed: an integer, or two, to draw z with.

    Returns:
        `[T, num_samples, *batch, *event]`.

    Raises:
        UsageError: if an argument is out of range or of the wrong shape.
    """
    check_distribution(dist)
    num_samples = at_least("num_samples", num_samples, 1)
    try:
        values = np.asarray(temperatures, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"temperatures: expected numbers, got {temperatures!r}") from None
    if values.ndim != 1 or not len(values) or not np.all((values >= 0) & (values < np.inf)):
        raise UsageError(
            f"temperatures: expected finite numbers of 0 or more, got {temperatures!r}"
        )
    if seed is None:
        raise UsageError("seed: expected an integer, since all temperatures share their draws")
    return tf.stack([dist.sample(cond, num_samples, seed, float(each)) for each in values])
