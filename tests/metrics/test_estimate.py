import math

import numpy as np
import pytest

from tfp_cinn.metrics import Estimate


def test_mean_and_standard_error():
    assert Estimate.of([1.0, 3.0]) == (2.0, 1.0)
    assert Estimate.of([1.0, 3.0]).scaled(-2) == (-4.0, 2.0)


def test_classes_count_alike_whatever_their_size():
    values = [1.0, 3.0, 1.0, 3.0, 10.0, 10.0]
    estimate = Estimate.over_classes(values, [0, 0, 0, 0, 7, 7])
    assert estimate.mean == 6.0
    assert math.isclose(estimate.standard_error, np.std([1, 3, 1, 3], ddof=1) / 2 / 2)


def test_root_and_ratio_propagate_the_error():
    rng = np.random.RandomState(0)
    a, b = 9.0 + 0.02 * rng.randn(2, 20_000)
    # Measured spread has a relative error of 1 / sqrt(2 N) = 0.005.
    assert math.isclose(Estimate(9.0, 0.02).root().standard_error, np.sqrt(a).std(), rel_tol=0.02)
    ratio = Estimate(9.0, 0.02).over(Estimate(9.0, 0.02))
    assert math.isclose(ratio.standard_error, (a / b).std(), rel_tol=0.02)
    assert Estimate(0.0, 0.0).root() == (0.0, 0.0)


@pytest.fixture
def grouped():
    """Values of which those of a group are alike: 40 groups of 1 to 5."""
    rng = np.random.RandomState(0)
    groups = np.repeat(np.arange(40), rng.randint(1, 6, 40))
    return rng.randn(40)[groups] + 0.1 * rng.randn(len(groups)), groups


METHODS = [Estimate.bootstrap, Estimate.jackknife]


@pytest.mark.parametrize("method", METHODS)
def test_the_error_of_a_mean_is_what_it_is_by_formula(method):
    values = np.random.RandomState(1).randn(400)
    # 256 resamples, or 32 blocks, know a standard deviation to 4 % or 13 %.
    estimate = method(values)
    np.testing.assert_allclose(estimate.mean, values.mean(), rtol=1e-12)
    np.testing.assert_allclose(estimate.standard_error, 1 / 20, rtol=0.3)
    np.testing.assert_allclose(
        Estimate.jackknife(values, max_blocks=400).standard_error,
        Estimate.of(values).standard_error,
        rtol=1e-9,
    )


@pytest.mark.parametrize("method", METHODS)
def test_examples_of_a_group_count_as_one(method, grouped):
    """Ten times the same examples teach nothing new, if they are known to be the same."""
    values, groups = grouped
    once = method(values, groups)
    tenfold = method(np.tile(values, 10), np.tile(groups, 10))
    np.testing.assert_allclose(tenfold, once, rtol=1e-9)
    assert method(values).standard_error < 0.75 * once.standard_error


@pytest.mark.parametrize("method", METHODS)
def test_the_error_is_the_spread_over_new_data(method):
    def draw(rng):
        groups = np.repeat(np.arange(30), 3)
        return rng.randn(30)[groups] + 0.3 * rng.randn(90), groups

    rng = np.random.RandomState(2)
    drawn = [draw(rng) for _ in range(60)]
    spread = np.std([np.std(values) for values, _ in drawn], ddof=1)
    errors = [method(*each, statistic=np.std).standard_error for each in drawn[:20]]
    # 60 draws know their spread to 9 %.
    np.testing.assert_allclose(np.mean(errors), spread, rtol=0.25)


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_decides_and_groups_may_have_any_names(method, grouped):
    values, groups = grouped
    names = np.array([f"photo {k:02}" for k in range(40)])[groups]
    assert method(values, names, seed=3) == method(values, groups, seed=3)
    options = {"max_blocks": 7} if method == Estimate.jackknife else {}
    assert method(values, groups, seed=3, **options) != method(values, groups, seed=4, **options)


@pytest.mark.parametrize("method", METHODS)
def test_values_may_be_arrays(method, grouped):
    values, groups = grouped
    pairs = np.stack([values, values + 2], axis=1)
    difference = method(pairs, groups, lambda v: np.mean(v[:, 1] - v[:, 0]))
    np.testing.assert_allclose(difference, (2, 0), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_one_group_has_no_error_and_none_no_mean(method):
    assert method([1.0, 3.0], [0, 0]).as_json() == {"mean": 2.0, "standard_error": None}
    assert method([]).as_json() == {"mean": None, "standard_error": None}
    assert method([1.0, np.nan, 2.0]).as_json()["mean"] is None


@pytest.mark.parametrize(
    "estimate",
    [
        Estimate.of([]),
        Estimate.over_classes([], []),
        Estimate.of([math.nan, 1.0]),
        Estimate(1.0, 0.1).over(Estimate(0.0, 0.0)),
    ],
)
def test_json_has_null_for_what_is_not_a_number(estimate):
    assert estimate.as_json() == {"mean": None, "standard_error": None}


def test_one_value_has_no_error():
    assert Estimate.of([2.0]).as_json() == {"mean": 2.0, "standard_error": None}
