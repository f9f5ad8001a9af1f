import numpy as np
import pytest
import scipy.stats

from tfp_cinn.metrics.colorings import (
    best_of,
    chroma,
    chroma_distance,
    chroma_histogram,
    pixel_variance,
    top5_agreement,
)


@pytest.fixture
def truth():
    return np.random.RandomState(0).uniform(0.2, 0.8, (5, 6, 4, 3))


def test_the_truth_has_no_error_and_a_shift_has_its_own(truth):
    colorings = np.stack([truth + 0.1, truth - 0.05], axis=1)
    np.testing.assert_array_equal(best_of(truth[:, None], truth), np.zeros(5))
    np.testing.assert_allclose(best_of(colorings[:, :1], truth), np.full(5, 10))
    np.testing.assert_allclose(best_of(colorings, truth), np.full(5, 5))
    np.testing.assert_allclose(best_of(colorings, truth, per_image=True), np.full(5, 5))


def test_the_papers_best_is_of_each_pixel(truth):
    """Two colorings, each right in half of the image: together they are right."""
    left, right = truth.copy(), truth.copy()
    left[:, :3] += 0.1
    right[:, 3:] += 0.1
    colorings = np.stack([left, right], axis=1)
    np.testing.assert_array_equal(best_of(colorings, truth), np.zeros(5))
    np.testing.assert_allclose(
        best_of(colorings, truth, per_image=True), np.full(5, 100 * np.sqrt(0.1**2 / 2))
    )


def test_variance_is_over_the_colorings_of_one_photograph(truth):
    assert pixel_variance(np.stack([truth] * 3, axis=1)).max() < 1e-20
    noise = 0.1 * np.random.RandomState(1).randn(5, 400, 6, 4, 3)
    np.testing.assert_allclose(pixel_variance(truth[:, None] + noise), np.full(5, 0.01), rtol=0.05)


def test_chroma_is_the_distance_from_gray():
    ab = np.zeros((4, 3, 3, 2))
    np.testing.assert_array_equal(chroma(ab), np.zeros(4))
    ab[1:, ..., 0], ab[1:, ..., 1] = 3, -4
    np.testing.assert_allclose(chroma(ab), [0, 5, 5, 5])


def test_the_distance_of_chroma_is_wassersteins():
    rng = np.random.RandomState(2)
    ab = rng.randn(3, 2, 20, 30, 2) * rng.uniform(5, 30, (3, 2, 1, 1, 1))
    histograms = np.stack([chroma_histogram(ab[:, 0]), chroma_histogram(ab[:, 1])], axis=1)
    np.testing.assert_allclose(histograms.sum(axis=-1), np.ones((3, 2)))
    length = np.hypot(ab[..., 0], ab[..., 1])
    expected = scipy.stats.wasserstein_distance(length[:, 0].ravel(), length[:, 1].ravel())
    # Each of the two is off by a bin of 0.5 at most, and errors of rounding cancel.
    np.testing.assert_allclose(chroma_distance(histograms), expected, atol=0.05)
    assert chroma_distance(histograms[:, ::-1]) == chroma_distance(histograms)
    assert chroma_distance(histograms[:, [0, 0]]) == 0


def test_chroma_that_is_all_alike_is_far_from_chroma_of_the_same_mean():
    alike, varied = np.zeros((1, 4, 4, 2)), np.zeros((1, 4, 4, 2))
    alike[..., 0], varied[:, :2, :, 1] = 10, -20
    histograms = np.stack([chroma_histogram(alike), chroma_histogram(varied)], axis=1)
    assert chroma(alike) == chroma(varied)
    np.testing.assert_allclose(chroma_distance(histograms), 10, atol=0.5)


def test_chroma_out_of_range_and_not_finite():
    ab = np.full((3, 2, 2, 2), 5.0)
    ab[1], ab[2, 0, 0, 0] = 1e30, np.nan
    histograms = chroma_histogram(ab)
    assert histograms[1, -1] == 1 and np.isnan(histograms[2]).all()
    assert np.isnan(chroma_distance(np.stack([histograms] * 2, axis=1)))


def test_agreement_is_with_the_first_class_of_the_photograph():
    truth = np.eye(10)[[3, 3, 3, 7]]
    logits = -np.arange(10.0) * np.ones((4, 1))  # 0 to 4 are the first five
    logits[1, 3] = -4.5  # the fifth
    logits[2, 3] = -5.5  # the sixth
    np.testing.assert_array_equal(top5_agreement(logits, truth), [1, 1, 0, 0])
    np.testing.assert_array_equal(top5_agreement(truth, truth), np.ones(4))
    logits[0, 9] = np.nan
    assert np.isnan(top5_agreement(logits, truth)[0])
