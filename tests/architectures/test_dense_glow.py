import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import UsageError, architectures, data
from tfp_cinn.bijectors import GlowCoupling, RandomPermutation


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_minimal_mnist_is_the_papers_network():
    images = data.Split(np.zeros((4, 28, 28, 1), np.uint8), np.zeros(4, np.int32))
    mnist = data.LabeledImages("mnist", images, images, images, 10, 256)
    model = architectures.build(
        "dense_glow", mnist, init_std=0.01, zero_last=False, mean=33.14, std=77.8
    )
    # 20 blocks of two subnets (392 + 10) x 512 + 512 and 512 x 784 + 784; facts of the reference.
    assert model.count_params() == 20 * 2 * (402 * 512 + 512 + 512 * 784 + 784)
    kinds = [type(b) for b in model.bijector.bijectors[2:]]
    assert kinds == [RandomPermutation, GlowCoupling] * 20


def test_fields_do_what_they_say(digits):
    model = architectures.build(
        "dense_glow", digits, blocks=2, hidden=(8,), permutation="soft", act_norm=True
    )
    x = digits.train.images[:64].astype("float32") + 0.5
    features = model.distribution.features(digits.train.labels[:64])
    model.bijector.calibrate(x, features)
    z = model.distribution.encode(x, digits.train.labels[:64])
    np.testing.assert_allclose(tf.reduce_mean(z, 0), 0.0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("resnet", {}, "architecture: expected one of .*dense_glow.*, got 'resnet'"),
        ("dense_glow", {"block": 3}, "config.model.block: .*did you mean blocks"),
        ("dense_glow", {"blocks": 0}, "blocks: expected at least 1"),
        ("dense_glow", {"permutation": "firm"}, "expected one of random, soft"),
    ],
)
def test_wrong_fields_are_answered_in_one_line(digits, name, fields, message):
    with pytest.raises(UsageError, match=message):
        architectures.build(name, digits, **fields)
