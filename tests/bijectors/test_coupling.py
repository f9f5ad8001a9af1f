"""Couplings of feature maps with feature maps, and with vectors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn.bijectors import AdditiveCoupling, AffineCoupling, GlowCoupling
from tfp_cinn.networks import ConvNet


def make(kind, shape, cond_shape, perturb, kernel_size=3):
    keras.utils.set_random_seed(3)
    subnet = ConvNet([6], kernel_size=kernel_size, activation="tanh", init_std=0.3, zero_last=False)
    bijector = kind(subnet, event_ndims=3)
    bijector.build(shape, cond_shape)
    perturb(bijector.layers)
    return bijector


@pytest.mark.parametrize("kind", [GlowCoupling, AffineCoupling, AdditiveCoupling])
def test_a_vector_condition_is_the_map_that_repeats_it(kind, perturb):
    shape = (3, 4, 5)
    by_vector = make(kind, shape, (3,), perturb)
    by_map = make(kind, shape, (*shape[:2], 3), perturb)
    x, c = tf.random.normal([2, *shape]), tf.random.normal([2, 3])
    repeated = tf.tile(c[:, tf.newaxis, tf.newaxis], [1, *shape[:2], 1])
    for name in ("inverse_and_log_det", "forward_and_log_det"):
        for a, b in zip(
            getattr(by_vector, name)(x, c), getattr(by_map, name)(x, repeated), strict=True
        ):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_map_condition_acts_where_it_is(perturb):
    bijector = make(GlowCoupling, (4, 5, 3), (4, 5, 1), perturb, kernel_size=1)
    x, c = tf.random.normal([1, 4, 5, 3]), np.zeros([1, 4, 5, 1], "float32")
    before = bijector.inverse(x, cond=c)
    c[0, 2, 3] = 1.0
    moved = np.abs(bijector.inverse(x, cond=c) - before).max(axis=-1)[0] > 1e-4
    expected = np.zeros([4, 5], bool)
    expected[2, 3] = True
    np.testing.assert_array_equal(moved, expected)


def test_one_condition_serves_several_samples_and_unknown_batch_sizes(perturb):
    bijector = make(GlowCoupling, (2, 3, 3), (2, 3, 5), perturb)

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, 2, 3, 3]), tf.TensorSpec([None, 2, 3, 5])]
    )
    def encode(x, cond):
        return bijector.inverse_and_log_det(x, cond)

    x, cond = tf.random.normal([4, 2, 2, 3, 3]), tf.random.normal([2, 2, 3, 5])
    z, log_det = encode(x, cond)
    one, one_log_det = bijector.inverse_and_log_det(x[3, 1], cond[1])
    np.testing.assert_allclose(z[3, 1], one, atol=1e-6)
    np.testing.assert_allclose(log_det[3, 1], one_log_det, atol=1e-6)
    assert encode(x[:1], cond)[1].shape == (1, 2)
