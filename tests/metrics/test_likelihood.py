"""Likelihood and latents of held-out data."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import CINN, UsageError
from tfp_cinn.bijectors import Chain, GlowCoupling, Standardize
from tfp_cinn.metrics import class_accuracy, latent_moments, likelihood
from tfp_cinn.networks import MLP, OneHot


def gaussian(mean=0.0, std=1.0, dims=2):
    return CINN(Chain([Standardize(mean, std)]), (dims,), OneHot(2), cond_shape=())


def batches(x):
    labels = np.zeros(len(x), "int32")
    return tf.data.Dataset.from_tensor_slices((np.float32(x), labels)).batch(700)


def test_likelihood_of_a_gaussian_is_its_cross_entropy():
    x = 1.0 + 2.0 * np.random.RandomState(0).randn(3000, 2)
    total, got = likelihood(gaussian(1.0, 2.0), batches(x))
    expected = 0.5 * math.log(2 * math.pi * math.e) + math.log(2.0)
    assert abs(got.mean - expected) < 4 * got.standard_error
    assert 0 < got.standard_error < 0.02
    assert (got.name, got.unit) == ("nats_per_dim", "nats/dim")
    assert (total.name, total.unit) == ("nats", "nats") and total.mean == 2 * got.mean


def test_only_images_have_bits_per_dim_and_x_may_come_alone():
    image = CINN(Chain([Standardize(1.0, 2.0)]), (1, 2, 1))
    x = tf.ones((6, 1, 2, 1))
    total, nats, bits = likelihood(image, tf.data.Dataset.from_tensor_slices(x).batch(4))
    assert (bits.name, bits.unit) == ("bits_per_dim", "bits/dim")
    assert math.isclose(bits.mean * math.log(2), nats.mean)
    assert math.isclose(total.mean, math.log(2 * math.pi) + 2 * math.log(2), rel_tol=1e-6)


@pytest.fixture
def eagerly():
    """Sooner than to trace each time."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize(
    ("x", "model", "expected"),
    [
        (5.0 + 2.0 * np.random.RandomState(0).randn(4000, 2), (5.0, 2.0), (0.0, 1.0, 1.0, 3.0)),
        # Uniform on [0, sqrt(12)): mean sqrt(3), variance 1, kurtosis 9/5.
        (np.random.RandomState(0).uniform(0, math.sqrt(12), (4000, 2)), (0.0, 1.0),
         (math.sqrt(3), 1.0, 4.0, 1.8)),
    ],
    ids=["the model's own", "another"],
)  # fmt: skip
def test_moments_of_the_latents(x, model, expected):
    for figure, value in zip(latent_moments(gaussian(*model), batches(x)), expected, strict=True):
        assert abs(figure.mean - value) < 4 * figure.standard_error
        assert 0 < figure.standard_error < 0.1


def test_standard_errors_of_moments_are_the_spread_over_data_sets(eagerly):
    rng, model = np.random.RandomState(0), gaussian()
    draws = [latent_moments(model, batches(rng.randn(300, 2))) for _ in range(40)]
    means = np.array([[figure.mean for figure in draw] for draw in draws])
    errors = np.array([[figure.standard_error for figure in draw] for draw in draws])
    # The spread of 40 draws has a relative error of 0.11.
    np.testing.assert_allclose(means.std(0), errors.mean(0), rtol=0.35)


def test_class_accuracy_finds_the_class_of_highest_likelihood():
    class ByHand:
        cond_shape = ()

        class distribution:  # noqa: N801
            @staticmethod
            def log_prob(x, label):
                return -((x[:, 0] - tf.cast(label, tf.float32)) ** 2)

    x = np.array([[0.1], [0.9], [2.2], [1.6]], "float32")
    labels = np.array([0, 1, 2, 1], "int32")
    pairs = tf.data.Dataset.from_tensor_slices((x, labels)).batch(3)
    assert class_accuracy(ByHand, pairs, 3).mean == 0.75
    model = CINN(GlowCoupling(MLP([4])), (2,), cond_shape=(3,))
    with pytest.raises(UsageError, match="class labels"):
        class_accuracy(model, None, 3)
