import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import CINN
from tfp_cinn.bijectors import ActNorm, Chain, Embed, Flatten, GlowCoupling, Select
from tfp_cinn.diagnosis import first_non_finite
from tfp_cinn.networks import MLP, ConvNet, strided_features, strided_vector

SHAPE, COND_SHAPE = (4, 4, 2), (8, 8, 1)


def flow():
    """Each part with a network of its own, batch-normalized, and one that sees nothing."""
    conv = GlowCoupling(ConvNet([6], activation="tanh"), event_ndims=3)
    blind = GlowCoupling(ConvNet([4], kernel_size=1), event_ndims=3)
    dense = Chain([GlowCoupling(MLP([8], "tanh")), ActNorm()])
    return Chain(
        [
            Embed(strided_features(COND_SHAPE, [5], 3), conv),
            Select(None, blind),
            Flatten(),
            Embed(strided_vector(COND_SHAPE, [4, 6]), dense),
        ]
    )


@pytest.fixture
def model(perturb):
    model = CINN(flow(), SHAPE, None, COND_SHAPE)
    perturb([model], std=0.2)
    for w in model.non_trainable_weights:  # running averages as after some training
        w.assign(w + 0.3)
    return model


@pytest.fixture
def data():
    rng = np.random.RandomState(0)
    return rng.randn(6, *SHAPE).astype("float32"), rng.randn(6, *COND_SHAPE).astype("float32")


def averages(model):
    return [w.numpy() for w in model.non_trainable_weights]


def test_outside_of_training_no_row_sees_another(model, data):
    x, cond = data
    dist = model.distribution
    together = dist.log_prob(x, cond)
    alone = [dist.log_prob(x[k], cond[k]) for k in range(6)]
    # To rounding: the order of a product's sums depends on the batch size.
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    stranger = np.concatenate([cond[:5], 100 * cond[5:]])
    np.testing.assert_allclose(dist.log_prob(x, stranger)[:5], together[:5], rtol=1e-5)
    np.testing.assert_allclose(dist.decode(dist.encode(x, cond), cond), x, atol=1e-4)


def test_only_fit_takes_statistics_and_updates_their_averages(model, data):
    x, cond = data
    before = averages(model)
    assert len(before) == 4
    plain = model((x, cond), training=False)
    np.testing.assert_array_equal(model.distribution.log_prob(x, cond), plain)
    assert np.abs(model((x, cond), training=True) - plain).max() > 1e-2  # of this batch instead
    for w, value in zip(model.non_trainable_weights, before, strict=True):
        assert np.abs(w - value).max() > 1e-4
        w.assign(value)
    model.compile(keras.optimizers.SGD(0.0))
    model.evaluate(x, cond, verbose=0)
    model.distribution.sample(cond, seed=0)
    for a, b in zip(averages(model), before, strict=True):
        np.testing.assert_array_equal(a, b)
    model.fit(x, cond, batch_size=3, epochs=1, verbose=0)
    for a, b in zip(averages(model), before, strict=True):
        assert np.abs(a - b).max() > 1e-4


def test_a_frozen_network_keeps_its_weights_and_averages(data):
    x, cond = data
    network = strided_vector(COND_SHAPE, [4])
    network.trainable = False
    model = CINN(
        Chain([Flatten(), Embed(network, GlowCoupling(MLP([4])))]), SHAPE, None, COND_SHAPE
    )
    assert len(model.trainable_weights) == 8
    before = network.get_weights()
    model.compile(keras.optimizers.Adam(0.1))
    model.fit(x, cond, verbose=0)
    for a, b in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    copy = CINN.from_config(model.get_config())
    assert len(copy.trainable_weights) == 8


def test_a_network_that_overflows_is_named(model, data):
    x, cond = (tf.constant(d) for d in data)
    model.bijector.bijectors[3].network.weights[1].assign([3e38] * 4)
    said = first_non_finite(model.distribution, x, cond)
    assert said.startswith("the network of Chain[3].Embed is the first")
