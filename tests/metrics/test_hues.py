"""Hues of colored digits, and how far two samples of hues are apart."""

import math

import numpy as np
import pytest
from matplotlib.colors import hsv_to_rgb
from scipy.optimize import linear_sum_assignment

from tfp_cinn.metrics.hues import circular_distance, digit_hues, hue_distance


def wrapped(degrees):
    return (degrees + 180) % 360 - 180


def colored(hues, gray):
    """Images `[N, H, W, 3]` of foreground and background hues `[N, 2]`, degrees."""
    mixed = gray[..., 0] * hues[:, :1, None] + (1 - gray[..., 0]) * hues[:, 1:, None]
    hsv = np.stack([mixed % 360 / 360, *np.full((2, *mixed.shape), 0.8)], axis=-1)
    return hsv_to_rgb(hsv)


@pytest.fixture
def gray():
    """Background above, foreground below, and something in between."""
    gray = 0.15 + 0.7 * np.random.RandomState(0).rand(6, 7, 1)
    gray[:2], gray[4:] = 0.0, 1.0
    return gray


def test_hues_are_those_of_the_darkest_and_brightest_pixels(gray):
    hues = np.stack(np.meshgrid(np.arange(0, 360, 7), [3, 50, 200, 355]), -1).reshape(-1, 2)
    for each in (gray, 0.2 + 0.5 * gray):
        found = digit_hues(colored(hues, gray), each)
        assert found.shape == hues.shape
        assert found.min() >= 0 and found.max() < 360
        # The hue of a hexagon is up to 1.12 degrees from that of the circle.
        assert np.abs(wrapped(found - hues)).max() < 1.2


def test_noise_moves_hues_little_and_not_to_one_side(gray):
    hues = np.full((500, 2), [2.0, 240.0])
    noise = 0.15 * np.random.RandomState(1).randn(500, 6, 7, 3)
    found = digit_hues(colored(hues, gray) + noise, gray)
    assert np.abs(wrapped(found - hues).mean(axis=0)).max() < 1
    assert wrapped(found - hues).std() < 5


def test_batch_dimensions_broadcast_and_nan_stays(gray):
    grays = np.stack([gray, 1 - gray])
    x = np.random.RandomState(0).rand(3, 2, 6, 7, 3)
    found = digit_hues(x, grays)
    np.testing.assert_array_equal(found[1, 1], digit_hues(x[1, 1], 1 - gray))
    np.testing.assert_allclose(found[:, 1], digit_hues(x[:, 1], gray)[:, ::-1])
    x[0, 0] = math.nan
    assert np.isnan(digit_hues(x, grays)).sum() == 2
    flat = digit_hues(x[1], np.zeros_like(grays))  # all is foreground and background
    np.testing.assert_array_equal(flat[:, 0], flat[:, 1])


@pytest.mark.parametrize("seed", range(5))
def test_distance_is_that_of_the_best_assignment(seed):
    rng = np.random.RandomState(seed)
    # Spread over the circle, and around red where degrees wrap.
    a = rng.uniform(-400, 400, 20) if seed % 2 else 30 * rng.randn(20)
    b = 40 * rng.randn(20) + 50 * seed
    costs = np.abs(wrapped(a[:, None] - b))
    expected = costs[linear_sum_assignment(costs)].mean()
    np.testing.assert_allclose(circular_distance(a, b), expected)
    np.testing.assert_allclose(circular_distance(b, a), expected)
    # As often as one likes, and turned.
    np.testing.assert_allclose(circular_distance(np.repeat(a, 3), b), expected)
    np.testing.assert_allclose(circular_distance(a + 123, b + 123), expected)


def test_distances_that_are_known():
    a = np.array([10.0, 20.0, 350.0])
    assert circular_distance(a, a[::-1] + 360) == pytest.approx(0, abs=1e-9)
    assert circular_distance(a, a + 7) == pytest.approx(7)
    assert circular_distance(np.zeros(5), np.full(3, 180.0)) == pytest.approx(180)
    uniform = np.arange(0, 360, 0.5)
    assert circular_distance(uniform, np.zeros(1)) == pytest.approx(90)
    assert math.isnan(circular_distance(np.array([math.nan]), a))


def test_distance_over_classes_and_its_error():
    rng = np.random.RandomState(0)
    labels = np.repeat([2, 5], 40)
    reference = 20 * rng.randn(80, 3, 2)
    moved = reference + np.where(labels == 2, 30.0, 0.0)[:, None, None]
    assert hue_distance(moved, reference, labels).mean == pytest.approx(15)
    # Of many draws, the spread of the distance is what the bootstrap says.
    draws = [
        hue_distance(50 + 20 * rng.randn(80, 2, 2), 20 * rng.randn(80, 2, 2), labels)
        for _ in range(15)
    ]
    spread = np.std([d.mean for d in draws], ddof=1)
    assert 0.5 < np.mean([d.standard_error for d in draws]) / spread < 2
    assert hue_distance(moved, reference, labels, seed=1) == hue_distance(
        moved, reference, labels, seed=1
    )
    nothing = hue_distance(moved[:0], reference[:0], labels[:0])
    assert math.isnan(nothing.mean)
