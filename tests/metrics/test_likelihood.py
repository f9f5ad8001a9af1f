import math

import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import CINN, UsageError
from tfp_cinn.bijectors import Chain, GlowCoupling, Standardize
from tfp_cinn.metrics import class_accuracy, nats_per_dim
from tfp_cinn.networks import MLP, OneHot


def gaussian(mean, std, dims=2):
    return CINN(Chain([Standardize(mean, std)]), (dims,), OneHot(2), cond_shape=())


def test_nats_per_dim_of_a_gaussian_is_its_cross_entropy():
    rng = np.random.RandomState(0)
    x = (1.0 + 2.0 * rng.randn(3000, 2)).astype("float32")
    batches = tf.data.Dataset.from_tensor_slices((x, np.zeros(3000, "int32"))).batch(700)
    got = nats_per_dim(gaussian(1.0, 2.0), batches)
    expected = 0.5 * math.log(2 * math.pi * math.e) + math.log(2.0)
    assert abs(got.mean - expected) < 4 * got.standard_error
    assert 0 < got.standard_error < 0.02


def test_class_accuracy_finds_the_class_of_highest_likelihood():
    class ByHand:
        cond_shape = ()

        class distribution:  # noqa: N801
            @staticmethod
            def log_prob(x, label):
                return -((x[:, 0] - tf.cast(label, tf.float32)) ** 2)

    x = np.array([[0.1], [0.9], [2.2], [1.6]], "float32")
    labels = np.array([0, 1, 2, 1], "int32")
    batches = tf.data.Dataset.from_tensor_slices((x, labels)).batch(3)
    assert class_accuracy(ByHand, batches, 3).mean == 0.75


def test_class_accuracy_needs_labels():
    model = CINN(GlowCoupling(MLP([4])), (2,), cond_shape=(3,))
    with pytest.raises(UsageError, match="class labels"):
        class_accuracy(model, None, 3)
