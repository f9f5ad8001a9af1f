import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from skimage import data

from tfp_cinn import UsageError
from tfp_cinn.color import rgb_to_lab, split_lab, to_rgb, upsample, upsample_ab


def random_parts(h, w, height, width, batch=(), samples=()):
    rng = np.random.RandomState(0)
    ab = rng.uniform(-60, 60, (*samples, *batch, h, w, 2)).astype(np.float32)
    L = rng.uniform(0, 100, (*batch, height, width, 1)).astype(np.float32)
    return ab, L


def mean_over_area(x, top, bottom, left, right):
    """Mean of x [H, W] over a rectangle with real corners, by the part of each pixel in it."""
    rows, columns = np.arange(x.shape[0]), np.arange(x.shape[1])
    high = np.clip(np.minimum(rows + 1, bottom) - np.maximum(rows, top), 0, None)
    wide = np.clip(np.minimum(columns + 1, right) - np.maximum(columns, left), 0, None)
    return high @ x @ wide / (high.sum() * wide.sum())


def by_the_formula(ab, L):
    """One pixel after another, from ab [h, w, 2] and L [H, W, 1]."""
    (h, w), (height, width) = ab.shape[:2], L.shape[:2]
    L, (s, t) = L[..., 0], (height / h, width / w)
    result = np.empty((height, width, 2))
    for i, j in itertools.product(range(height), range(width)):
        y, x = (i + 0.5) / s, (j + 0.5) / t
        weights, values = [], []
        for p, q in itertools.product(range(int(y) - 1, int(y) + 2), range(int(x) - 1, int(x) + 2)):
            if 0 <= p < h and 0 <= q < w:
                distance = math.hypot(p + 0.5 - y, q + 0.5 - x)
                own = L[i, j] - mean_over_area(L, p * s, (p + 1) * s, q * t, (q + 1) * t)
                weights.append(math.exp(-0.5 * ((distance / 0.4) ** 2 + (own / 8.0) ** 2)))
                values.append(ab[p, q])
        result[i, j] = np.average(values, axis=0, weights=weights)
    return result


@pytest.mark.parametrize("sizes", [(5, 7, 13, 10), (3, 4, 12, 16), (4, 4, 4, 4), (1, 1, 7, 5)])
def test_upsampling_is_what_the_formula_says(sizes):
    ab, L = random_parts(*sizes)
    # Measured: 6e-5.
    np.testing.assert_allclose(upsample_ab(ab, L), by_the_formula(ab, L), rtol=0, atol=5e-4)


@pytest.mark.parametrize(
    "name, bilinear, ours",
    # RMS errors in 8-bit levels, as measured; without color they are 32.8 and 50.2.
    [("astronaut", 4.16, 3.75), ("coffee", 4.30, 3.79)],
)
def test_a_photograph_comes_back_from_its_color_at_a_quarter(name, bilinear, ours):
    rgb = (getattr(data, name)() / 255.0).astype("float32")
    L, _, ab = split_lab(rgb, (rgb.shape[0] // 4, rgb.shape[1] // 4))
    error = 255.0 * np.sqrt(np.mean((to_rgb(L, ab) - rgb) ** 2))
    np.testing.assert_allclose(error, ours, atol=0.05)
    assert error < bilinear


def test_constant_ab_stays_exactly_constant():
    _, L = random_parts(4, 5, 19, 23, (2,))
    ab = np.broadcast_to(np.array([1 / 3, -55.7], np.float32), (2, 4, 5, 2))
    np.testing.assert_array_equal(upsample_ab(ab, L), np.broadcast_to(ab[0, 0, 0], (2, 19, 23, 2)))


def test_blocks_of_rows_change_nothing(monkeypatch):
    ab, L = random_parts(5, 4, 13, 11, (3,), (2,))
    expected = upsample_ab(ab, L)
    monkeypatch.setattr(upsample, "_BLOCK_BYTES", 6000)
    np.testing.assert_allclose(upsample_ab(ab, L), expected, rtol=0, atol=1e-4)


def test_photographs_and_samples_are_independent_and_sizes_may_be_unknown():
    ab, L = random_parts(4, 6, 9, 17, (2, 3), (5,))
    signature = [tf.TensorSpec([None] * 5 + [2]), tf.TensorSpec([None] * 4 + [1])]
    traced = tf.function(upsample_ab, input_signature=signature)
    together = traced(ab, L)
    assert together.shape == (5, 2, 3, 9, 17, 2)
    for s, i, j in itertools.product((0, 4), range(2), range(3)):
        alone = upsample_ab(ab[s, i, j], L[i, j])
        np.testing.assert_allclose(together[s, i, j], alone, rtol=0, atol=1e-4)
    assert traced(ab[:0], L).shape == (0, 2, 3, 9, 17, 2)
    L[0, 1, 4, 4] = np.nan
    rest = np.isfinite(upsample_ab(ab, L).numpy()).all(axis=(0, 3, 4, 5))
    np.testing.assert_array_equal(rest, [[True, False, True], [True] * 3])


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (11, 2)])
def test_split_averages_lab_over_areas_of_any_size(size):
    rgb = np.random.RandomState(0).rand(2, 1, 11, 13, 3)
    lab = rgb_to_lab(rgb).numpy()
    # Every pixel in h * w equal parts, so that areas are whole again.
    h, w = size
    expected = lab.repeat(h, axis=2).repeat(w, axis=3).reshape(2, 1, h, 11, w, 13, 3).mean((3, 5))
    L, small_L, small_ab = split_lab(rgb, size)
    np.testing.assert_array_equal(L, lab[..., :1])
    # TensorFlow averages in float32.
    np.testing.assert_allclose(small_L, expected[..., :1], atol=1e-3)
    np.testing.assert_allclose(small_ab, expected[..., 1:], atol=1e-3)


def test_the_color_of_a_loss_reaches_ab():
    rgb = (data.coffee()[100:140, 200:240] / 255.0).astype("float32")
    L, _, ab = split_lab(rgb, (10, 10))
    with tf.GradientTape() as tape:
        tape.watch(ab)
        loss = tf.reduce_mean((to_rgb(L, ab) - rgb) ** 2)
    gradient = tape.gradient(loss, ab).numpy()
    assert np.isfinite(gradient).all() and (np.abs(gradient).max(axis=(0, 1)) > 0).all()


@pytest.mark.parametrize(
    "ab, L",
    [((4, 2), (8, 8, 1)), ((2, 4, 4, 2), (3, 8, 8, 1)), ((4, 9, 2), (8, 8, 1))],
)
def test_parts_that_do_not_fit_are_refused(ab, L):
    with pytest.raises(UsageError, match="with h <= H and w <= W, got float32"):
        upsample_ab(tf.zeros(ab), tf.zeros(L))
    with pytest.raises(UsageError, match=r"size: expected at most \(8, 8\), got \(4, 9\)"):
        split_lab(tf.zeros([8, 8, 3]), (4, 9))
