"""Every tool of `tfp_cinn.latent`, on small flows of images given a class."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import CINN, UsageError, latent
from tfp_cinn.bijectors import (
    Chain,
    FactorOut,
    Flatten,
    GlowCoupling,
    HaarDownsampling,
    RandomPermutation,
    Standardize,
)
from tfp_cinn.latent import PrincipalComponents, Typicality, auroc, interpolate
from tfp_cinn.networks import MLP, OneHot

SHAPE = (4, 4, 2)
LABELS = np.arange(50) % 4
X = np.float32(np.random.default_rng(0).normal(size=(50, *SHAPE)))


def coupling():
    return GlowCoupling(MLP([16], "tanh"), clamp=1.0)


@pytest.fixture
def dist(perturb):
    flow = [Standardize(1.0, 2.0), Flatten(), coupling(), RandomPermutation(0), coupling()]
    model = CINN(Chain(flow), SHAPE, OneHot(4), cond_shape=())
    perturb([model])
    return model.distribution


@pytest.fixture
def multi_scale(perturb):
    """The same of two resolutions: 20 latents leave at [2, 2, 5], 12 go on."""
    rest = Chain([Flatten(), coupling(), RandomPermutation(1), coupling()])
    model = CINN(Chain([HaarDownsampling(), FactorOut(3, rest)]), SHAPE, OneHot(4), cond_shape=())
    perturb([model])
    return model.distribution


def test_interpolation_is_straight_or_along_the_sphere():
    ends = np.random.default_rng(0).normal(size=(2, 3, 100))
    straight, sphere = (interpolate(*ends, 9, kind) for kind in ("linear", "spherical"))
    for path in (straight, sphere):
        np.testing.assert_allclose(path[[0, -1]], ends, rtol=1e-6)
    np.testing.assert_allclose(np.diff(straight, 2, axis=0), 0, atol=1e-5)
    norms = np.linalg.norm(np.float64(sphere), axis=-1)
    np.testing.assert_allclose(np.diff(norms, 2, axis=0), 0, atol=1e-5)
    u = sphere / norms[..., np.newaxis]
    angles = np.arccos((u[1:] * u[:-1]).sum(axis=-1))
    np.testing.assert_allclose(angles, np.broadcast_to(angles[0], angles.shape), rtol=1e-4)
    # Random directions are nearly orthogonal: the straight path cuts through the ball.
    np.testing.assert_allclose(np.linalg.norm(straight[4], axis=-1), np.sqrt(50), rtol=0.2)


@pytest.mark.parametrize("end", [[0.0, 0.0], [2.0, 4.0], [-1.0, -2.0]])
def test_ends_without_a_plane_are_joined_by_a_straight_line(end):
    start = np.array([1.0, 2.0])
    path = interpolate(start, end, 5, "spherical")
    np.testing.assert_allclose(path, interpolate(start, end, 5, "linear"))


def test_transfer_to_the_same_condition_is_identity_and_to_another_isn_t(dist):
    np.testing.assert_allclose(latent.transfer(dist, X, LABELS, LABELS), X, atol=1e-4)
    table = latent.transfer(dist, X, LABELS, tf.range(4)[:, tf.newaxis])
    assert table.shape == (4, 50, *SHAPE)
    moved = table[(LABELS[0] + 1) % 4, 0]
    assert np.abs(moved - X[0]).max() > 0.1
    z = dist.encode(moved, (LABELS[0] + 1) % 4)
    np.testing.assert_allclose(z, dist.encode(X[0], LABELS[0]), atol=1e-4)


def test_sweep_scales_the_same_latents(dist):
    x = latent.sweep(dist, [0, 3], [0.0, 0.5, 1.5], num_samples=6, seed=2)
    assert x.shape == (3, 6, 2, *SHAPE)
    assert np.ptp(x[0], axis=0).max() == 0  # one image of each condition
    z = dist.encode(x, [0, 3]).numpy()
    np.testing.assert_allclose(z[2], 3 * z[1], atol=1e-3)


@pytest.mark.parametrize("scale", [0, 1])
def test_resample_changes_its_own_latents_and_no_others(multi_scale, scale):
    start, stop, _ = multi_scale.bijector.latent_scales[scale]
    own = np.isin(np.arange(32), np.arange(start, stop))
    assert 0 < own.sum() < 32
    z, labels = np.random.default_rng(0).normal(size=(3, 32)), [1, 2, 3]
    x = latent.resample(multi_scale, z, labels, scale, seed=1, num_samples=400)
    again = multi_scale.encode(x, labels).numpy()
    kept = again[..., ~own]
    np.testing.assert_allclose(kept, np.broadcast_to(z[:, ~own], kept.shape), atol=1e-4)
    # N(0, 1) of 1200 draws each, to five standard errors.
    drawn = again[..., own].reshape(1200, -1)
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.15)
    np.testing.assert_allclose(drawn.std(axis=0), 1, atol=0.11)


def test_latents_and_likelihoods_of_batches_are_those_of_the_set(dist):
    batches = tf.data.Dataset.from_tensor_slices((X, LABELS)).batch(16)
    np.testing.assert_allclose(latent.latents(dist, batches), dist.encode(X, LABELS), atol=1e-5)
    nats = latent.nats_per_dim(dist, batches)
    np.testing.assert_allclose(nats, -dist.log_prob(X, LABELS) / 32, rtol=1e-5)
    unconditional = CINN(Chain([GlowCoupling(MLP([8]))]), (4,)).distribution
    x = X.reshape(-1, 4)
    for batch in (x, (x, None)):
        found = latent.nats_per_dim(unconditional, [batch])
        np.testing.assert_allclose(found, -unconditional.log_prob(x) / 4, rtol=1e-5)


@pytest.mark.parametrize(("count", "dimensions"), [(20_000, 20), (60, 200)])
def test_principal_components_are_those_of_the_covariance(count, dimensions):
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))[0]
    stds = np.array([9.0, 6.0, 4.0] + [1.0] * (dimensions - 3))
    z = 2 + rng.normal(size=(count, dimensions)) * stds @ axes.T
    found = PrincipalComponents.of(z)
    variances, vectors = np.linalg.eigh(np.cov(z.T))
    np.testing.assert_allclose(found.stds[:3] ** 2, variances[:-4:-1])
    along = np.abs((found.directions[:3] * vectors.T[:-4:-1]).sum(axis=1))
    np.testing.assert_allclose(along, 1, atol=1e-7)
    np.testing.assert_allclose(found.explained.sum(), 1)
    walk = found.walk(0, 5, extent=2.0)
    assert walk.dtype == np.float32
    steps = (walk - found.mean) @ found.directions[0] / found.stds[0]
    np.testing.assert_allclose(steps, [-2, -1, 0, 1, 2], atol=1e-5)


def test_the_widest_axis_of_noise_is_at_the_edge():
    found = PrincipalComponents.of(np.random.default_rng(0).normal(size=(300, 64)))
    np.testing.assert_allclose(found.stds[0], found.noise_edge, rtol=0.05)


def standard_normal_nats(z):
    """-log p / D of N(0, I)."""
    return (z**2 / 2 + np.log(2 * np.pi) / 2).mean(axis=-1)


def test_typicality_raises_the_share_of_alarms_that_was_asked_for():
    rng = np.random.default_rng(0)
    test = Typicality.of(standard_normal_nats(rng.normal(size=(4000, 100))), false_alarms=0.1)
    np.testing.assert_allclose(test.entropy, 0.5 * np.log(2 * np.pi * np.e), atol=0.01)
    alarms = test.is_foreign(standard_normal_nats(rng.normal(size=(4000, 100)))).mean()
    np.testing.assert_allclose(alarms, 0.1, atol=0.02)  # three standard errors of both sets


def test_typicality_finds_what_is_too_likely_where_likelihood_is_blind():
    rng = np.random.default_rng(1)
    held_out = standard_normal_nats(rng.normal(size=(500, 100)))
    test = Typicality.of(held_out)
    constant = standard_normal_nats(np.zeros((50, 100)))
    noise = standard_normal_nats(3 * rng.normal(size=(50, 100)))
    assert auroc(constant, held_out) == 0.0  # likelihood points the wrong way
    assert auroc(noise, held_out) == 1.0
    for foreign in (constant, noise):
        assert test.is_foreign(foreign).all()
        assert auroc(test.distance(foreign), test.distance(held_out)) == 1.0


def test_auroc_counts_pairs_and_takes_nan_as_most_foreign():
    foreign, held_out = np.array([1.0, 2.0, 5.0]), np.array([0.0, 2.0, 3.0, 4.0])
    pairs = np.sign(foreign[:, np.newaxis] - held_out)
    np.testing.assert_allclose(auroc(foreign, held_out), (1 + pairs.mean()) / 2)
    assert auroc([np.nan, np.inf], held_out) == 1.0
    assert Typicality(1.0, 0.5).is_foreign([np.nan, 1.2, -np.inf]).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda dist: interpolate(np.ones(3), np.ones(3), 1), "steps: expected 2 or more, got 1"),
        (lambda dist: interpolate(np.ones(3), np.ones(3), 3, "cubic"), "linear or spherical, got"),
        (lambda dist: latent.resample(dist, np.zeros(32), 0, 2), "scale: expected 0 to 1, got 2"),
        (lambda dist: latent.sweep(dist, 0, [-0.5]), "temperature: expected"),
        (lambda dist: PrincipalComponents.of([[np.nan, 1], [2, 3]]), "z: expected two finite"),
        (lambda dist: Typicality.of(np.ones(19)), "false_alarms: expected 1/19, .* got 0.05"),
        (lambda dist: Typicality.of([np.nan] * 30), "nats_per_dim: expected finite numbers"),
    ],
)
def test_wrong_arguments(call, message, multi_scale):
    with pytest.raises(UsageError, match=message):
        call(multi_scale)
