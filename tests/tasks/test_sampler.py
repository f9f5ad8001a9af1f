"""What a sample depends on, for every kind of condition."""

import keras
import numpy as np
import pytest

from tfp_cinn import CINN
from tfp_cinn.bijectors import Chain, GlowCoupling
from tfp_cinn.networks import MLP, OneHot
from tfp_cinn.tasks import sampler as module
from tfp_cinn.tasks.sampler import ModelSampler, sample_seeds

RNG = np.random.default_rng(0)
CONDITIONS = {
    "label": np.array([1, 0, 1, 2], np.int32),
    "vector": RNG.normal(size=(4, 3)).astype(np.float32),
    "parts": {"B": np.arange(4, dtype=np.int32) % 2, "a": np.float32(RNG.normal(size=(4, 2)))},
}


class Joined(keras.layers.Layer):
    """Features of two parts."""

    def call(self, parts):
        label = keras.ops.expand_dims(keras.ops.cast(parts["B"], "float32"), -1)
        return keras.ops.concatenate([label, parts["a"]], axis=-1)

    def compute_output_shape(self, shapes):
        return (*shapes["a"][:-1], 3)


def rows(cond, numbers):
    if isinstance(cond, dict):
        return {key: part[numbers] for key, part in cond.items()}
    return cond[numbers]


@pytest.fixture(params=CONDITIONS)
def drawn(request, perturb):
    cond = CONDITIONS[request.param]
    arguments = {
        "label": {"conditioner": OneHot(3), "cond_shape": ()},
        "vector": {"cond_shape": (3,)},
        "parts": {"conditioner": Joined(), "cond_shape": {"B": (), "a": (2,)}},
    }[request.param]
    model = CINN(Chain([GlowCoupling(MLP([8]))]), (2,), **arguments)
    perturb(model.bijector.layers)
    return model, cond, ModelSampler(model)


def test_a_sample_depends_on_seed_condition_and_number_alone(drawn, monkeypatch):
    model, cond, sampler = drawn
    x, log_prob = sampler.sample(cond, 7, 0.8, seed=5)
    assert x.shape == (7, 4, 2) and len(np.unique(x.reshape(28, 2), axis=0)) >= 21
    np.testing.assert_allclose(log_prob, model.distribution.log_prob(x, cond), rtol=1e-5, atol=1e-5)
    # Other batches round otherwise.
    other = np.array([2, 1])
    some, _ = sampler.sample(rows(cond, other), 3, 0.8, seed=5)
    np.testing.assert_allclose(some, x[:3, other], atol=1e-5)
    monkeypatch.setattr(module, "_ROWS", 3)
    np.testing.assert_allclose(sampler.sample(cond, 7, 0.8, seed=5)[0], x, atol=1e-5)
    assert np.abs(sampler.sample(cond, 7, 0.8, seed=6)[0] - x).max() > 0.1
    cold, _ = sampler.sample(cond, 2, 0.0, seed=5)
    np.testing.assert_allclose(cold[0], cold[1], atol=1e-6)


def test_without_a_condition_there_is_one_column():
    sampler = ModelSampler(CINN(Chain([GlowCoupling(MLP([8]))]), (2,)))
    x, log_prob = sampler.sample(None, 5, 1.0, 0)
    assert x.shape == (5, 1, 2) and log_prob.shape == (5, 1)


def test_seeds_are_those_of_the_first_exports():
    """Which pictures a seed draws stays so from version to version."""
    pairs = sample_seeds(5, np.array([3, 7], np.int32), 2)
    expected = np.random.SeedSequence([5, 7, 1]).generate_state(2).view(np.int32)
    np.testing.assert_array_equal(pairs[1, 1], expected)
    twice = sample_seeds(5, np.float32([[1.5, 2], [0, 0], [1.5, 2]]), 2)
    np.testing.assert_array_equal(twice[:, 0], twice[:, 2])
    assert len(np.unique(twice.reshape(-1, 2), axis=0)) == 4
