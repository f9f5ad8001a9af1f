"""Principal components, ranking and typicality: what is told of a whole set."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import CINN, UsageError
from tfp_cinn.bijectors import Chain, GlowCoupling
from tfp_cinn.latent import PrincipalComponents, Ranking, Typicality, auroc, latents, rank
from tfp_cinn.networks import MLP


@pytest.fixture
def pairs(dist):
    labels = np.arange(50) % 4
    x = (
        dist.sample(labels, seed=5).numpy()
        * np.linspace(0.5, 2, 50)[:, np.newaxis, np.newaxis, np.newaxis]
    )
    return x, labels.astype(np.int32)


def test_latents_of_batches_are_those_of_the_set(dist, pairs):
    x, labels = pairs
    z = latents(dist, tf.data.Dataset.from_tensor_slices(pairs).batch(16))
    np.testing.assert_allclose(z, dist.encode(x, labels), atol=1e-5)


def test_ranking_has_the_order_of_log_prob(dist, pairs):
    x, labels = pairs
    ranking = rank(dist, [(x[:30], labels[:30]), (x[30:], labels[30:])])
    log_prob = dist.log_prob(x, labels).numpy()
    np.testing.assert_allclose(ranking.nats_per_dim, -log_prob / 32, rtol=1e-5)
    np.testing.assert_array_equal(ranking.order, np.argsort(-log_prob))
    assert ranking.most_likely(3).tolist() == ranking.order[:3].tolist()
    assert ranking.least_likely(2).tolist() == ranking.order[:-3:-1].tolist()
    assert len(ranking.least_likely(99)) == 50


def test_batches_of_any_dimensions_and_conditions_for_all(dist, pairs):
    x, labels = pairs
    whole = rank(dist, [pairs]).nats_per_dim
    grid = [(x.reshape(5, 10, 4, 4, 2), labels.reshape(5, 10))]
    np.testing.assert_allclose(rank(dist, grid).nats_per_dim, whole, rtol=1e-5)
    np.testing.assert_allclose(latents(dist, grid), latents(dist, [pairs]), atol=1e-5)
    np.testing.assert_allclose(rank(dist, [(x[3], labels[3])]).nats_per_dim, whole[3:4], rtol=1e-5)
    one = rank(dist, [(x[:7], 2), (x[7:], 2)]).nats_per_dim
    np.testing.assert_allclose(one, rank(dist, [(x, np.full(50, 2))]).nats_per_dim, rtol=1e-5)


def test_a_flow_without_condition(perturb):
    model = CINN(Chain([GlowCoupling(MLP([8]))]), (4,))
    perturb([model])
    x = np.random.RandomState(0).randn(9, 4)
    ranking = rank(model.distribution, [(x[:5], None), (x[5:], None)])
    np.testing.assert_allclose(ranking.nats_per_dim, -model.distribution.log_prob(x) / 4, rtol=1e-5)


def test_what_is_no_number_ranks_last_and_equals_keep_their_order():
    assert Ranking.of([2.0, np.nan, 1.0, 1.0, np.inf]).order.tolist() == [2, 3, 0, 4, 1]


@pytest.mark.parametrize(
    ("batches", "message"),
    [([], "one example or more"), ([np.zeros((2, 4, 4, 2))], "expected pairs"), ("ab", "pairs")],
)
def test_batches_that_are_none(dist, batches, message):
    with pytest.raises(UsageError, match=message):
        rank(dist, batches)


@pytest.mark.parametrize(("count", "dimensions"), [(4000, 12), (60, 200)])
def test_principal_components_are_those_of_singular_values(count, dimensions):
    z = np.random.RandomState(0).randn(count, dimensions) * np.linspace(1, 3, dimensions) + 5
    found = PrincipalComponents.of(z.reshape(count, 2, -1), 8)
    _, s, vt = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(found.mean, z.mean(axis=0))
    np.testing.assert_allclose(found.stds, s[:8] / np.sqrt(count - 1))
    np.testing.assert_allclose(found.explained, s[:8] ** 2 / (s**2).sum())
    np.testing.assert_allclose(np.abs((found.directions * vt[:8]).sum(axis=1)), 1, atol=1e-7)
    np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(8), atol=1e-9)
    assert np.all(found.directions.max(axis=1) > -found.directions.min(axis=1))


def test_principal_components_recover_a_known_covariance():
    rng = np.random.RandomState(0)
    axes = np.linalg.qr(rng.randn(20, 20))[0]
    stds = np.array([4.0, 3.0, 2.0] + [1.0] * 17)
    found = PrincipalComponents.of(2 + rng.randn(20_000, 20) * stds @ axes.T)
    # Standard errors of 20,000 draws: std / sqrt(2 N) = 0.5 %; of a direction 0.01 or so.
    np.testing.assert_allclose(found.stds[:3], stds[:3], rtol=0.025)
    np.testing.assert_allclose(
        np.abs((found.directions[:3] * axes.T[:3]).sum(axis=1)), 1, atol=1e-3
    )
    np.testing.assert_allclose(found.mean, 2, atol=0.15)
    assert len(found.stds) == 20
    np.testing.assert_allclose(found.explained.sum(), 1)


def test_the_widest_axis_of_noise_is_at_the_edge_and_one_of_data_beyond():
    z = np.random.RandomState(0).randn(300, 64)
    found = PrincipalComponents.of(z, 3)
    np.testing.assert_allclose(found.stds[0], found.noise_edge, rtol=0.05)
    z[:, 7] *= 3
    assert PrincipalComponents.of(z, 3).stds[0] > 1.5 * found.noise_edge


def test_a_walk_goes_through_the_mean_along_its_axis():
    z = np.random.RandomState(0).randn(50, 6) * [1, 1, 5, 1, 1, 1]
    found = PrincipalComponents.of(z)
    walk = found.walk(0, 5, extent=2.0)
    assert walk.dtype == np.float32 and walk.shape == (5, 6)
    np.testing.assert_allclose(walk[2], found.mean, atol=1e-6)
    np.testing.assert_allclose(
        (walk - found.mean) @ found.directions[0] / found.stds[0], [-2, -1, 0, 1, 2], atol=1e-5
    )


@pytest.mark.parametrize(
    ("z", "number", "message"),
    [
        (np.zeros(3), None, "latents \\[N, D\\]"),
        (np.zeros((1, 3)), None, "N = 2 or more"),
        (np.ones((4, 3)), None, "all are equal"),
        (np.array([[np.nan, 1], [2, 3]]), None, "finite"),
        (np.eye(4), 4, "up to 3, as there are 4 latents of 4 dimensions, got 4"),
        (np.eye(4), 0, "1 or more, got 0"),
    ],
)
def test_latents_without_components(z, number, message):
    with pytest.raises(UsageError, match=message):
        PrincipalComponents.of(z, number)


def test_a_walk_that_leads_nowhere():
    found = PrincipalComponents.of(np.eye(4))
    for arguments, message in (
        ((3, 5), "0 to 2, one of 3 components, got 3"),
        ((0, 1), "steps: expected 2 or more"),
        ((0, 3, -1.0), "extent: expected a finite number above 0"),
    ):
        with pytest.raises(UsageError, match=message):
            found.walk(*arguments)


def standard_normal_nats(z):
    """-log p / D of N(0, I)."""
    return (z**2 / 2 + np.log(2 * np.pi) / 2).mean(axis=-1)


def test_typicality_raises_the_share_of_alarms_that_was_asked_for():
    rng = np.random.RandomState(0)
    test = Typicality.of(standard_normal_nats(rng.randn(4000, 100)), false_alarms=0.1)
    np.testing.assert_allclose(test.entropy, 0.5 * np.log(2 * np.pi * np.e), atol=0.01)
    alarms = test.is_foreign(standard_normal_nats(rng.randn(4000, 100))).mean()
    np.testing.assert_allclose(alarms, 0.1, atol=0.02)  # three standard errors of both sets


def test_typicality_finds_what_is_too_likely_where_likelihood_is_blind():
    rng = np.random.RandomState(1)
    held_out = standard_normal_nats(rng.randn(500, 100))
    test = Typicality.of(held_out)
    constant = standard_normal_nats(np.zeros((50, 100)))
    noise = standard_normal_nats(3 * rng.randn(50, 100))
    assert test.is_foreign(constant).all() and test.is_foreign(noise).all()
    assert auroc(constant, held_out) == 0.0  # likelihood points the wrong way
    assert auroc(noise, held_out) == 1.0
    for foreign in (constant, noise):
        assert auroc(test.distance(foreign), test.distance(held_out)) == 1.0


def test_auroc_counts_pairs_and_takes_what_is_no_number_as_most_foreign():
    foreign, held_out = np.array([1.0, 2.0, 5.0]), np.array([0.0, 2.0, 3.0, 4.0])
    pairs = np.sign(foreign[:, np.newaxis] - held_out)
    np.testing.assert_allclose(auroc(foreign, held_out), (1 + pairs.mean()) / 2)
    assert auroc([np.nan, np.inf], held_out) == 1.0
    assert Typicality(1.0, 0.5).is_foreign([np.nan, 1.2, -np.inf]).tolist() == [True, False, True]


@pytest.mark.parametrize("false_alarms", [0, 0.6, np.nan, -1])
def test_a_share_of_false_alarms_that_is_none(false_alarms):
    with pytest.raises(UsageError, match="false_alarms: expected a share"):
        Typicality.of(np.arange(10.0), false_alarms)


def test_too_few_examples():
    with pytest.raises(UsageError, match="20 examples or more, got shape \\(19,\\)"):
        Typicality.of(np.arange(19.0))
    with pytest.raises(UsageError, match="finite"):
        Typicality.of([np.nan] * 30)
    with pytest.raises(UsageError, match="held_out: expected \\[N\\]"):
        auroc([1.0], [])
