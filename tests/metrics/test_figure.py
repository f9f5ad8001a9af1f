import math

import numpy as np
import pytest

from tfp_cinn.metrics import Figure, metric
from tfp_cinn.metrics.frechet import frechet_distance

METHODS = [Figure.bootstrap, Figure.jackknife]


def numbers(figure):
    return figure.mean, figure.standard_error


def test_mean_and_standard_error():
    assert numbers(Figure.average([1.0, 3.0])) == (2.0, 1.0)
    assert numbers(Figure.average([1.0, 3.0]).scaled(-2)) == (-4.0, 2.0)
    for nothing in (Figure.average([]), Figure.over_classes([], []), *(f([]) for f in METHODS)):
        assert np.isnan(numbers(nothing)).all()
    for one in (Figure.average([2.0]), *(f([1.0, 3.0], [0, 0]) for f in METHODS)):
        assert one.mean == 2.0 and math.isnan(one.standard_error)


def test_classes_count_alike_whatever_their_size():
    values = [1.0, 3.0, 1.0, 3.0, 10.0, 10.0]
    figure = Figure.over_classes(values, [0, 0, 0, 0, 7, 7])
    assert figure.mean == 6.0
    assert math.isclose(figure.standard_error, np.std([1, 3, 1, 3], ddof=1) / 2 / 2)


def test_root_and_ratio_propagate_the_error():
    rng = np.random.RandomState(0)
    a, b = 9.0 + 0.02 * rng.randn(2, 20_000)
    # Measured spread has a relative error of 1 / sqrt(2 N) = 0.005.
    assert math.isclose(Figure(9.0, 0.02).root().standard_error, np.sqrt(a).std(), rel_tol=0.02)
    ratio = Figure(9.0, 0.02).over(Figure(9.0, 0.02))
    assert math.isclose(ratio.standard_error, (a / b).std(), rel_tol=0.02)
    assert numbers(Figure(0.0, 0.0).root()) == (0.0, 0.0)
    assert math.isnan(Figure(1.0, 0.1).over(Figure(0.0, 0.0)).mean)


def test_a_metric_is_one_function():
    @metric("m", "mean length")
    def length(values):
        """Return it."""
        return Figure.average(values)

    assert length([1.0, 3.0]) == Figure(2.0, 1.0, "length", "m", "mean length")
    assert length([1.0, 3.0], of="samples").of == "samples"
    # What is computed with a figure keeps its name.
    assert length([1.0, 3.0]).scaled(2).named("twice", "m", "longer").name == "twice"
    assert length.__doc__ == "Return it."


@pytest.mark.parametrize("method", METHODS)
def test_the_error_of_a_mean_is_what_it_is_by_formula(method):
    values = np.random.RandomState(1).randn(400)
    # 256 resamples, or 32 blocks, know a standard deviation to 4 % or 13 %.
    np.testing.assert_allclose(method(values).mean, values.mean(), rtol=1e-12)
    np.testing.assert_allclose(method(values).standard_error, 1 / 20, rtol=0.3)
    np.testing.assert_allclose(
        Figure.jackknife(values, max_blocks=400).standard_error,
        Figure.average(values).standard_error,
        rtol=1e-9,
    )


@pytest.fixture
def grouped():
    """Values of which those of a group are alike: 40 groups of 1 to 5."""
    rng = np.random.RandomState(0)
    groups = np.repeat(np.arange(40), rng.randint(1, 6, 40))
    return rng.randn(40)[groups] + 0.1 * rng.randn(len(groups)), groups


@pytest.mark.parametrize("method", METHODS)
def test_examples_of_a_group_count_as_one(method, grouped):
    """Ten times the same examples teach nothing new, if they are known to be the same."""
    values, groups = grouped
    once = method(values, groups)
    tenfold = method(np.tile(values, 10), np.tile(groups, 10))
    np.testing.assert_allclose(numbers(tenfold), numbers(once), rtol=1e-9)
    assert method(values).standard_error < 0.75 * once.standard_error
    pairs = np.stack([values, values + 2], axis=1)
    difference = method(pairs, groups, lambda v: np.mean(v[:, 1] - v[:, 0]))
    np.testing.assert_allclose(numbers(difference), (2, 0), atol=1e-12)


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
    options = {"max_blocks": 7} if method == Figure.jackknife else {}
    assert method(values, groups, seed=3, **options) != method(values, groups, seed=4, **options)


def test_a_jackknife_of_a_frechet_distance_is_nearer_to_its_spread_than_a_bootstrap():
    """Of colorings and photographs of the same crops, two of each of 20 photographs."""
    rng = np.random.RandomState(6)
    photos = np.repeat(np.arange(20), 2)
    sizes = 1 / np.sqrt(1 + np.arange(32))

    def draw():
        content = (rng.randn(20, 32)[photos] + 0.5 * rng.randn(40, 32)) * sizes
        colors = rng.randn(2, 20, 32)[:, photos] + 0.5 * rng.randn(2, 40, 32)
        return (content + 0.6 * sizes[::-1] * colors).swapaxes(0, 1)

    def distance(pairs):
        return frechet_distance(pairs[:, 0], pairs[:, 1])

    spread = np.std([distance(draw()) for _ in range(100)], ddof=1)
    drawn = [draw() for _ in range(12)]
    jackknife, bootstrap = (
        np.mean([method(pairs, photos, distance).standard_error for pairs in drawn])
        for method in (Figure.jackknife, Figure.bootstrap)
    )
    # 100 draws know their spread to 7 %.
    assert 0.85 * spread < jackknife < 1.6 * spread
    assert bootstrap > 1.2 * jackknife
