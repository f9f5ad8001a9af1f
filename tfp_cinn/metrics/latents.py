"""How close the latents of held-out data are to the standard normal."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_cinn.metrics.estimate import Estimate
from tfp_cinn.model import CINN

__all__ = ["LatentStatistics", "latent_statistics"]


class LatentStatistics(NamedTuple):
    """Moments over all examples and dimensions of z; N(0, I) has 0, 1, 1 and 3.

    Attributes:
        mean: m = E z.
        std: s = sqrt(E (z - m)^2).
        square: E |z|^2 / D. Above 1, examples lie further out than the model's samples.
        kurtosis: E (z - m)^4 / s^4. Above 3, the latents have heavier tails than a Gaussian.
    """

    mean: Estimate
    std: Estimate
    square: Estimate
    kurtosis: Estimate


def latent_statistics(model: CINN, batches: tf.data.Dataset) -> LatentStatistics:
    """Return moments of z = f^-1(x; h(c)) over a data set.

    Standard errors assume independent examples, but not independent dimensions.

    Args:
        model: the model.
        batches: pairs (x, condition).
    """
    encode = tf.function(model.distribution.encode)
    parts = [encode(x, cond).numpy() for x, cond in batches]
    z = np.concatenate([part.reshape(len(part), -1) for part in parts]).astype(np.float64)
    centered = z - z.mean()
    second, fourth = (centered**2).mean(axis=1), (centered**4).mean(axis=1)
    kurtosis = fourth.mean() / second.mean() ** 2
    # Linearize the ratio around its means, for one value per example and their standard error.
    influence = fourth / second.mean() ** 2 - 2 * kurtosis * (second / second.mean() - 1)
    return LatentStatistics(
        mean=Estimate.of(z.mean(axis=1)),
        std=Estimate.of(second).root(),
        square=Estimate.of((z**2).mean(axis=1)),
        kurtosis=Estimate.of(influence),
    )
