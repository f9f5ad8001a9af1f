"""Moments of the latents of held-out data, beside those of the standard normal."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfp_cinn.metrics.figure import Figure
from tfp_cinn.metrics.likelihood import as_pair
from tfp_cinn.model import CINN

__all__ = ["latent_moments"]


def latent_moments(model: CINN, batches: tf.data.Dataset) -> list[Figure]:
    """Return moments of z = f^-1(x; h(c)) over all examples and dimensions of a data set.

    With m = E z and s^2 = E (z - m)^2, they are m, s, `E |z|^2 / D` and the kurtosis
    E (z - m)^4 / s^4. Standard errors assume independent examples, but not independent dimensions.

    Args:
        model: the model.
        batches: pairs (x, condition), or x alone.
    """
    encode = tf.function(model.distribution.encode)
    parts = [encode(*as_pair(batch)).numpy() for batch in batches]
    z = np.concatenate([part.reshape(len(part), -1) for part in parts]).astype(np.float64)
    centered = z - z.mean()
    second, fourth = (centered**2).mean(axis=1), (centered**4).mean(axis=1)
    kurtosis = fourth.mean() / second.mean() ** 2
    # Linearize the ratio around its means, for one value per example and their standard error.
    influence = fourth / second.mean() ** 2 - 2 * kurtosis * (second / second.mean() - 1)
    moments = {
        "latent_mean": (Figure.average(z.mean(axis=1)), "mean of z; 0 if z is N(0, I)"),
        "latent_std": (Figure.average(second).root(), "standard deviation of z; 1 if z is N(0, I)"),
        "latent_square": (
            Figure.average((z**2).mean(axis=1)),
            "mean |z|^2 / D; above 1, test data lie further out than samples",
        ),
        "latent_kurtosis": (
            Figure.average(influence),
            "kurtosis of z; above 3, tails are heavier than a Gaussian's",
        ),
    }
    return [figure.named(name, "1", meaning) for name, (figure, meaning) in moments.items()]
