import numpy as np
import pytest

from tfp_cinn import UsageError
from tfp_cinn.metrics import coverage, recall, sharpness


def normal(count, seed, shift=0.0):
    return shift + np.random.default_rng(seed).standard_normal((count, 3))


@pytest.mark.parametrize("k", [2, 5])
def test_as_many_samples_of_the_same_distribution_cover_1_minus_2_to_the_minus_k(k):
    covered = np.mean([coverage(normal(400, s), normal(400, 100 + s), k).mean() for s in range(10)])
    assert covered == pytest.approx(1 - 2.0**-k, abs=0.02)


@pytest.mark.parametrize("measure", [coverage, recall])
def test_missing_half_the_modes_halves_it(measure):
    real = np.concatenate([normal(300, 0), normal(300, 1, shift=50.0)])
    both = np.concatenate([normal(300, 2), normal(300, 3, shift=50.0)])
    reached = measure(real, normal(600, 4))
    assert reached[:300].mean() > 0.9
    assert not reached[300:].any()
    assert measure(real, both).mean() > 0.9


@pytest.mark.parametrize("measure", [coverage, recall])
def test_collapsed_samples_reach_next_to_nothing(measure):
    one = np.repeat(normal(1, 5), 500, axis=0) + 1e-6 * normal(500, 6)
    assert measure(normal(500, 7), one).mean() < 0.05


def test_a_stray_sample_widens_recall_but_not_coverage():
    real = normal(300, 8)
    narrow = 0.1 * normal(300, 9)
    stray = np.concatenate([narrow, [[30.0, 0.0, 0.0]]])
    assert recall(real, stray).mean() > recall(real, narrow).mean() + 0.3
    assert coverage(real, stray).mean() == coverage(real, narrow).mean()


def test_samples_that_are_not_finite_count_as_none():
    real, samples = normal(50, 10), normal(50, 11)
    bad = np.concatenate([samples, np.full((5, 3), np.nan), np.full((5, 3), np.inf)])
    assert np.array_equal(coverage(real, bad), coverage(real, samples))
    assert np.array_equal(recall(real, bad), recall(real, samples))
    assert not coverage(real, np.full((5, 3), np.nan)).any()
    assert not recall(real, np.full((5, 3), np.nan)).any()


@pytest.mark.parametrize("measure", [coverage, recall])
def test_wrong_use_is_answered_in_one_line(measure):
    with pytest.raises(UsageError, match=r"features \[N, D\] and \[M, D\], got"):
        measure(normal(9, 0), normal(9, 0)[:, :2])
    with pytest.raises(UsageError, match="k: expected 1 to 8 for 9 examples, got 9"):
        measure(normal(9, 0), normal(9, 1), k=9)


def test_blur_loses_sharpness_noise_gains_it_and_a_flat_image_has_none():
    images = np.random.default_rng(0).uniform(0, 255, (4, 12, 10, 1))
    blurred = (images[:, :-1] + images[:, 1:]) / 2
    noisy = images + np.random.default_rng(1).normal(0, 30, images.shape)
    assert (sharpness(blurred) < 0.8 * sharpness(images)).all()
    assert (sharpness(noisy) > sharpness(images)).all()
    assert not sharpness(np.full((2, 5, 5, 3), 7)).any()


def test_sharpness_is_the_mean_of_squared_steps_whatever_the_integers_are():
    image = np.uint8([[[0], [255]], [[0], [255]]])[np.newaxis]  # steps of 255 in one direction
    assert sharpness(image) == pytest.approx(255.0**2)
