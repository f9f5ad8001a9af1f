import numpy as np
import pytest

from tfp_cinn.evaluation.colourings import best_of, chroma, pixel_variance, rms_error


@pytest.fixture
def truth():
    return np.random.RandomState(0).uniform(0.2, 0.8, (5, 6, 4, 3))


def test_the_truth_has_no_error_and_a_shift_has_its_own(truth):
    colourings = np.stack([truth + 0.1, truth - 0.05], axis=1)
    assert rms_error(truth[:, None], truth).mean == 0
    np.testing.assert_allclose(rms_error(colourings, truth).mean, 10)
    np.testing.assert_allclose(best_of(colourings, truth).mean, 5)
    np.testing.assert_allclose(best_of(colourings, truth, per_image=True).mean, 5)


def test_the_papers_best_is_of_each_pixel(truth):
    """Two colourings, each right in half of the image: together they are right."""
    left, right = truth.copy(), truth.copy()
    left[:, :3] += 0.1
    right[:, 3:] += 0.1
    colourings = np.stack([left, right], axis=1)
    assert best_of(colourings, truth).mean == 0
    np.testing.assert_allclose(
        best_of(colourings, truth, per_image=True).mean, 100 * np.sqrt(0.1**2 / 2)
    )


def test_variance_is_over_the_colourings_of_one_photograph(truth):
    assert pixel_variance(np.stack([truth] * 3, axis=1)).mean < 1e-20
    noise = 0.1 * np.random.RandomState(1).randn(5, 400, 6, 4, 3)
    np.testing.assert_allclose(pixel_variance(truth[:, None] + noise).mean, 0.01, rtol=0.02)


def test_chroma_is_the_distance_from_grey():
    ab = np.zeros((4, 3, 3, 2))
    assert chroma(ab).mean == 0
    ab[..., 0], ab[..., 1] = 3, -4
    assert chroma(ab) == (5, 0)
