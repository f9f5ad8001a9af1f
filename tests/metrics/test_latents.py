import math

import numpy as np
import tensorflow as tf

from tfp_cinn import CINN
from tfp_cinn.bijectors import Chain, Standardize
from tfp_cinn.metrics import latent_statistics
from tfp_cinn.networks import OneHot


def statistics(x, mean=0.0, std=1.0):
    model = CINN(Chain([Standardize(mean, std)]), x.shape[1:], OneHot(2), cond_shape=())
    labels = np.zeros(len(x), "int32")
    return latent_statistics(model, tf.data.Dataset.from_tensor_slices((x, labels)).batch(300))


def test_of_the_models_own_distribution():
    x = (5.0 + 2.0 * np.random.RandomState(0).randn(4000, 3)).astype("float32")
    got = statistics(x, 5.0, 2.0)
    for estimate, expected in zip(got, (0.0, 1.0, 1.0, 3.0), strict=True):
        assert abs(estimate.mean - expected) < 4 * estimate.standard_error
        assert 0 < estimate.standard_error < 0.1


def test_of_a_distribution_that_the_model_gets_wrong():
    # Uniform on [0, sqrt(12)): mean sqrt(3), variance 1, kurtosis 9/5.
    x = np.random.RandomState(0).uniform(0, math.sqrt(12), (4000, 3)).astype("float32")
    got = statistics(x)
    for estimate, expected in zip(got, (math.sqrt(3), 1.0, 4.0, 1.8), strict=True):
        assert abs(estimate.mean - expected) < 4 * estimate.standard_error


def test_standard_errors_are_the_spread_over_data_sets():
    rng = np.random.RandomState(0)
    draws = np.array([statistics(rng.randn(300, 2).astype("float32")) for _ in range(40)])
    # The spread of 40 draws has a relative error of 0.11.
    np.testing.assert_allclose(draws[..., 0].std(0), draws[..., 1].mean(0), rtol=0.35)
