"""Several flows as one: the mixture that it claims to be, however it is trained or drawn from."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import CINN, UsageError
from tfp_cinn.bijectors import Chain, Ensemble, Flatten, GlowCoupling, SoftPermutation
from tfp_cinn.networks import MLP

RNG = np.random.default_rng(0)
X, COND = (tf.constant(RNG.normal(size=(6, n)), tf.float32) for n in (2, 3))


def member(seed):
    return Chain([SoftPermutation(seed), GlowCoupling(MLP([4], "tanh"))])


@pytest.fixture
def members(perturb):
    """Three flows of which each has a model of its own."""
    models = [CINN(member(seed), (2,), cond_shape=(3,)) for seed in range(3)]
    perturb(models)
    return models


@pytest.fixture
def model(members):
    return CINN(Ensemble([m.bijector for m in members]), (2,), cond_shape=(3,))


def test_its_density_is_the_mixture_and_its_loss_the_mean(model, members):
    each = np.stack([m.distribution.log_prob(X, COND) for m in members])
    mixture = np.logaddexp.reduce(each) - np.log(3)
    np.testing.assert_allclose(model.distribution.log_prob(X, COND), mixture, atol=1e-5)
    np.testing.assert_allclose(model((X, COND), training=True), each.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("memory", ["store", "recompute"])
def test_members_learn_as_if_alone(model, members, memory):
    def gradients(model):
        model.compile(memory=memory)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model((X, COND), training=True))
        return tape.gradient(loss, [w.value for w in model.trainable_weights])

    alone = [g for m in members for g in gradients(m)]
    for together, expected in zip(gradients(model), alone, strict=True):
        np.testing.assert_allclose(3 * together, expected, rtol=1e-3, atol=1e-4)


def test_samples_are_those_of_the_members_in_equal_shares(model, members):
    dist, count = model.distribution, 3000
    z = tf.random.stateless_normal([count, 4], [0, 1])
    x = dist.decode(z, COND[0])
    each = np.stack([m.distribution.decode(z[:, :2], COND[0]) for m in members])
    distance = np.abs(each - x).max(axis=-1)
    shares = np.bincount(distance.argmin(axis=0)) / count
    np.testing.assert_allclose(distance.min(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(shares, 1 / 3, atol=4 * np.sqrt(2 / 9 / count))
    # A temperature scales what is decoded, and leaves the choice.
    cooled = dist.decode(0.1 * z, COND[0])
    each = np.stack([m.distribution.decode(0.1 * z[:, :2], COND[0]) for m in members])
    np.testing.assert_array_equal(np.abs(each - cooled).max(-1).argmin(0), distance.argmin(0))


def test_decoding_undoes_encoding_and_samples_know_their_density(model):
    dist = model.distribution
    np.testing.assert_allclose(dist.decode(dist.encode(X, COND), COND), X, atol=1e-4)
    x, log_prob = dist.sample_and_log_prob(COND, 5, seed=1)
    np.testing.assert_allclose(log_prob, dist.log_prob(x, COND), atol=1e-4)


def test_members_have_to_be_flows_of_as_many_latents():
    with pytest.raises(UsageError, match="at least one member"):
        Ensemble([])
    with pytest.raises(UsageError, match="expected a bijector of this package, got MLP"):
        Ensemble([MLP([4])])
    Ensemble([Flatten(), Flatten(channels_first=True)]).build((2, 2, 3))
