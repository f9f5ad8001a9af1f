"""Transfer, temperature, and resampling of one resolution."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import UsageError
from tfp_cinn.latent import resample, sweep, transfer


@pytest.fixture
def x():
    return np.random.RandomState(0).randn(5, 4, 4, 2)  # float64


def test_transfer_to_the_same_condition_is_identity_and_to_another_isn_t(dist, x):
    labels = np.arange(5) % 4
    np.testing.assert_allclose(transfer(dist, x, labels, labels), x, atol=1e-4)
    other = (labels + 1) % 4
    moved = transfer(dist, x, labels, other)
    assert np.abs(moved - x).max(axis=(1, 2, 3)).min() > 0.1
    np.testing.assert_allclose(dist.encode(moved, other), dist.encode(x, labels), atol=1e-4)


def test_transfer_to_every_condition(dist, x):
    labels = np.arange(5) % 4
    table = transfer(dist, x, labels, tf.range(4)[:, tf.newaxis])
    assert table.shape == (4, 5, 4, 4, 2)
    np.testing.assert_allclose(table[2, 1], transfer(dist, x[1], labels[1], 2), atol=1e-5)


def test_sweep_scales_the_same_latents(dist):
    x = sweep(dist, [0, 3], [0.0, 0.5, 1.5], num_samples=6, seed=2)
    assert x.shape == (3, 6, 2, 4, 4, 2)
    assert np.ptp(x[0], axis=0).max() == 0  # one image of each condition
    assert np.ptp(x[2], axis=0).max() > 0.5
    assert np.abs(x[0, 0, 0] - x[0, 0, 1]).max() > 0.1
    z = dist.encode(x, [0, 3]).numpy()
    np.testing.assert_allclose(z[2], 3 * z[1], atol=1e-3)
    np.testing.assert_array_equal(x, sweep(dist, [0, 3], [0.0, 0.5, 1.5], num_samples=6, seed=2))


@pytest.mark.parametrize("temperatures", [[-0.5, 1.0], [np.nan], [], 1.0, ["hot"]])
def test_sweep_refuses_temperatures(dist, temperatures):
    with pytest.raises(UsageError, match="temperatures: expected"):
        sweep(dist, 0, temperatures)


def test_sweep_needs_a_seed_and_a_sample(dist):
    with pytest.raises(UsageError, match="seed: expected an integer"):
        sweep(dist, 0, [1.0], seed=None)
    with pytest.raises(UsageError, match="num_samples: expected 1 or more, got 0"):
        sweep(dist, 0, [1.0], num_samples=0)


@pytest.mark.parametrize("scale", [0, 1])
def test_resample_changes_its_own_latents_and_no_others(multi_scale, scale):
    start, stop, _ = multi_scale.bijector.latent_scales[scale]
    own = np.zeros(32, bool)
    own[start:stop] = True
    assert 0 < own.sum() < 32
    z, labels = np.random.RandomState(0).randn(3, 32), [1, 2, 3]
    x = resample(multi_scale, z, labels, scale, seed=1, num_samples=400)
    assert x.shape == (400, 3, 4, 4, 2)
    again = multi_scale.encode(x, labels).numpy()
    np.testing.assert_allclose(
        again[..., ~own], np.broadcast_to(z[:, ~own], again[..., ~own].shape), atol=1e-4
    )
    # N(0, 1) of 1200 draws each, to five standard errors.
    drawn = again[..., own].reshape(1200, -1)
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.15)
    np.testing.assert_allclose(drawn.std(axis=0), 1, atol=0.11)
    np.testing.assert_array_equal(x, resample(multi_scale, z, labels, scale, 1, 400))


def test_resample_of_one_resolution_draws_all(dist):
    z = np.zeros((2, 32), np.float32)
    x = resample(dist, z, [0, 1], 0, seed=3, num_samples=4)
    np.testing.assert_allclose(x, dist.sample([0, 1], 4, seed=3), atol=1e-5)


def test_resample_says_which_scales_exist(multi_scale, dist):
    z = np.zeros(32, np.float32)
    for scale in (2, -1, "fine", 0.5):
        with pytest.raises(UsageError, match=r"that exists, 0 \(2x2x5\), 1 \(12\), got"):
            resample(multi_scale, z, 0, scale)
    with pytest.raises(UsageError, match=r"expected latents \[..., 32\], got \(31,\)"):
        resample(dist, z[1:], 0, 0)


@pytest.mark.parametrize("tool", [transfer, sweep, resample])
def test_a_model_in_place_of_its_distribution(tool):
    arguments = [None] * (3 if tool is transfer else 2 if tool is sweep else 3)
    with pytest.raises(UsageError, match="such as model.distribution, got str"):
        tool("model", *arguments)
