import numpy as np
import pytest
import scipy.linalg

from tfp_cinn import UsageError
from tfp_cinn.metrics.frechet import frechet_distance


def features(rng, number, dimensions):
    mix = rng.randn(dimensions, dimensions) / np.sqrt(dimensions)
    return rng.randn(number, dimensions) @ mix + rng.randn(dimensions)


def with_moments(rng, number, mean, std):
    """Features of exactly that mean and a diagonal covariance."""
    x = rng.randn(number, len(mean))
    q, _ = np.linalg.qr(x - x.mean(axis=0))
    return mean + np.sqrt(number - 1) * q * std


@pytest.mark.parametrize("number", [6, 60])
def test_gaussians_of_diagonal_covariance_are_as_far_apart_as_the_formula_says(number):
    """Then it is |mu_x - mu_y|^2 + |std_x - std_y|^2."""
    rng = np.random.RandomState(0)
    means, stds = rng.randn(2, 5), rng.uniform(0.5, 2, (2, 5))
    x, y = (with_moments(rng, number, *moments) for moments in zip(means, stds, strict=True))
    expected = np.sum((means[0] - means[1]) ** 2) + np.sum((stds[0] - stds[1]) ** 2)
    np.testing.assert_allclose(frechet_distance(x, y), expected, rtol=1e-10)


@pytest.mark.parametrize(("n", "m"), [(200, 150), (200, 12), (12, 9)])
def test_it_is_what_the_root_of_the_product_of_covariances_gives(n, m):
    rng = np.random.RandomState(1)
    x, y = features(rng, n, 20), features(rng, m, 20)
    sx, sy = np.cov(x.T), np.cov(y.T)
    root = scipy.linalg.sqrtm(sx @ sy).real
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(sx + sy - 2 * root)
    # A root of a singular product, that of few images, is itself only good to 1e-7 or so.
    np.testing.assert_allclose(frechet_distance(x, y), expected, rtol=1e-6)
    np.testing.assert_allclose(frechet_distance(y, x), frechet_distance(x, y), rtol=1e-12)


@pytest.mark.parametrize("number", [4, 100])
def test_nothing_is_far_from_itself(number):
    x = features(np.random.RandomState(2), number, 10)
    assert frechet_distance(x, x[::-1]) == 0
    np.testing.assert_allclose(frechet_distance(x, x + 0.5), 10 * 0.25, rtol=1e-9)


def test_few_images_are_further_apart_than_many_of_the_same_distribution():
    rng = np.random.RandomState(3)
    few, many = (
        np.mean([frechet_distance(*rng.randn(2, number, 16)) for _ in range(10)])
        for number in (10, 1000)
    )
    assert few > 50 * many


def test_many_features_of_few_images_are_quick_and_exact_in_float32():
    rng = np.random.RandomState(4)
    x = features(rng, 40, 1280)
    shifted = (x + 0.1).astype(np.float32)
    # float32 features hold 1e-7 of their size, summed over 1280 of them.
    np.testing.assert_allclose(frechet_distance(x, shifted), 12.8, rtol=1e-4)


def test_what_is_not_finite_has_no_distance():
    x = features(np.random.RandomState(5), 8, 3)
    for bad in (np.nan, np.inf):
        y = x.copy()
        y[0, 0] = bad
        assert np.isnan(frechet_distance(x, y))


@pytest.mark.parametrize(
    "shapes", [((5, 3), (5, 4)), ((1, 3), (5, 3)), ((5,), (5,)), ((0, 3),) * 2]
)
def test_features_that_do_not_fit_are_answered_in_one_line(shapes):
    with pytest.raises(UsageError, match="of 2 images or more each, got"):
        frechet_distance(*(np.zeros(shape) for shape in shapes))
