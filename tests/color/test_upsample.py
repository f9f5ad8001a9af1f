import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import UsageError
from tfp_cinn.color import upsample, upsample_ab

METHODS = ["joint_bilateral", "bilinear"]


def random_parts(h, w, height, width, batch=(), samples=(), dtype="float64", seed=0):
    rng = np.random.RandomState(seed)
    ab = rng.uniform(-60, 60, (*samples, *batch, h, w, 2)).astype(dtype)
    L = rng.uniform(0, 100, (*batch, height, width, 1)).astype(dtype)
    return ab, L


def mean_over_area(x, top, bottom, left, right):
    """Mean of x [H, W] over a rectangle with real corners, by the part of each pixel in it."""
    rows, columns = np.arange(x.shape[0]), np.arange(x.shape[1])
    high = np.clip(np.minimum(rows + 1, bottom) - np.maximum(rows, top), 0, None)
    wide = np.clip(np.minimum(columns + 1, right) - np.maximum(columns, left), 0, None)
    return high @ x @ wide / (high.sum() * wide.sum())


def by_the_formula(ab, L, sigma_space, sigma_range, radius):
    """One pixel after another, from ab [h, w, 2] and L [H, W, 1]."""
    (h, w), (height, width) = ab.shape[:2], L.shape[:2]
    L, (s, t) = L[..., 0], (height / h, width / w)
    result = np.empty((height, width, 2))
    for i, j in itertools.product(range(height), range(width)):
        y, x = (i + 0.5) / s, (j + 0.5) / t
        weights, values = [], []
        for p in range(math.floor(y) - radius, math.floor(y) + radius + 1):
            for q in range(math.floor(x) - radius, math.floor(x) + radius + 1):
                if 0 <= p < h and 0 <= q < w:
                    distance = math.hypot(p + 0.5 - y, q + 0.5 - x)
                    own = L[i, j] - mean_over_area(L, p * s, (p + 1) * s, q * t, (q + 1) * t)
                    weights.append(
                        math.exp(-0.5 * ((distance / sigma_space) ** 2 + (own / sigma_range) ** 2))
                    )
                    values.append(ab[p, q])
        result[i, j] = np.average(values, axis=0, weights=weights)
    return result


@pytest.mark.parametrize(
    "sizes, options",
    [
        ((5, 7, 13, 10), {"radius": 1}),
        ((3, 4, 12, 16), {"sigma_space": 1.5, "sigma_range": 20.0, "radius": 2}),
        ((6, 5, 17, 21), {"sigma_space": 0.7, "sigma_range": 30.0, "radius": 3}),
        ((4, 4, 4, 4), {"sigma_space": 0.5, "sigma_range": 40.0, "radius": 5}),
    ],
)
def test_joint_bilateral_is_what_the_formula_says(sizes, options):
    ab, L = random_parts(*sizes)
    expected = by_the_formula(ab, L, **({"sigma_space": 0.4, "sigma_range": 8.0} | options))
    np.testing.assert_allclose(upsample_ab(ab, L, **options), expected, rtol=0, atol=1e-10)
    ab, L = ab.astype("float32"), L.astype("float32")
    got = upsample_ab(ab, L, **options)
    assert got.dtype == tf.float32
    # Measured: 6e-5.
    np.testing.assert_allclose(got, expected, rtol=0, atol=5e-4)


@pytest.mark.parametrize("sigma, radius", [(0.2, 1), (0.4, 1), (1.0, 4)])
def test_the_window_grows_with_sigma_space(sigma, radius):
    ab, L = random_parts(9, 14, 27, 28)
    got = upsample_ab(ab, L, sigma_space=sigma)
    np.testing.assert_array_equal(got, upsample_ab(ab, L, sigma_space=sigma, radius=radius))
    assert math.exp(-0.5 * ((radius + 0.5) / sigma) ** 2) <= 1e-3


def test_constant_ab_stays_exactly_constant():
    dtype = "float32"
    _, L = random_parts(4, 5, 19, 23, (2,), dtype=dtype)
    ab = np.broadcast_to(np.array([1 / 3, -55.7], dtype), (2, 4, 5, 2))
    expected = np.broadcast_to(ab[0, 0, 0], (2, 19, 23, 2))
    np.testing.assert_array_equal(upsample_ab(ab, L), expected)
    np.testing.assert_array_equal(upsample_ab(ab, L, sigma_space=2.0, sigma_range=50.0), expected)


def test_an_edge_of_L_stays_an_edge_of_color():
    # The edge runs through the middle of a column of low-resolution pixels.
    L = np.where(np.arange(64) < 30, 30.0, 70.0) * np.ones((64, 1))
    full = np.where(np.arange(64) < 30, -40.0, 40.0) * np.ones((64, 1))
    full = np.stack([full, -full], axis=-1)
    low = full.reshape(16, 4, 16, 4, 2).mean((1, 3))
    assert (low == 0).any()
    error, width = {}, {}
    for method in METHODS:
        got = upsample_ab(low, L[..., None], method).numpy()
        error[method] = np.sqrt(np.mean((got - full) ** 2))
        width[method] = (np.abs(got[32, :, 0]) < 30).sum()
    # Measured: an RMS error of 2.3 against 8.1, and 2 pixels between the colors against 6.
    assert error["joint_bilateral"] < 0.35 * error["bilinear"]
    assert width["joint_bilateral"] <= 2 and width["bilinear"] >= 6


@pytest.mark.parametrize("sizes", [(5, 7, 21, 15), (1, 1, 7, 5)])
def test_bilinear_is_half_pixel_centered_at_any_size(sizes):
    h, w, height, width = sizes
    ab, L = random_parts(*sizes, dtype="float32")
    got = upsample_ab(ab, L, "bilinear").numpy()
    assert got.shape == (height, width, 2)
    y = np.clip((np.arange(height) + 0.5) * h / height - 0.5, 0, h - 1)
    x = np.clip((np.arange(width) + 0.5) * w / width - 0.5, 0, w - 1)
    for channel in range(2):
        plane = np.array([np.interp(y, np.arange(h), c) for c in ab[..., channel].T]).T
        plane = np.array([np.interp(x, np.arange(w), r) for r in plane])
        np.testing.assert_allclose(got[..., channel], plane, rtol=0, atol=1e-3)


@pytest.mark.parametrize("block_bytes", [1, 6000])
def test_blocks_of_rows_change_nothing(block_bytes, monkeypatch):
    ab, L = random_parts(5, 4, 13, 11, (3,), (2,))
    expected = upsample_ab(ab, L)
    monkeypatch.setattr(upsample, "_BLOCK_BYTES", block_bytes)
    np.testing.assert_allclose(upsample_ab(ab, L), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_photographs_and_samples_are_independent(method):
    ab, L = random_parts(4, 6, 9, 17, (2, 3), (5,))
    together = upsample_ab(ab, L, method)
    assert together.shape == (5, 2, 3, 9, 17, 2)
    for s, i, j in itertools.product(range(5), range(2), range(3)):
        alone = upsample_ab(ab[s, i, j], L[i, j], method)
        np.testing.assert_allclose(together[s, i, j], alone, rtol=0, atol=1e-12)
    broken = L.copy()
    broken[0, 1, 4, 4] = np.nan
    rest = np.isfinite(upsample_ab(ab, broken, method).numpy()).all(axis=(0, 3, 4, 5))
    np.testing.assert_array_equal(rest, [[True, method == "bilinear", True], [True] * 3])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_sizes_unknown_to_the_graph(method, jit_compile):
    signature = [tf.TensorSpec([None] * 4 + [2]), tf.TensorSpec([None, None, None, 1])]
    traced = tf.function(
        lambda ab, L: upsample_ab(ab, L, method),
        input_signature=signature,
        jit_compile=jit_compile,
        autograph=False,
    )
    # XLA compiles each size.
    for sizes in ((2, 3, 8, 9),) if jit_compile else ((5, 7, 21, 15), (2, 3, 8, 9)):
        ab, L = random_parts(*sizes, (3,), (2,), dtype="float32")
        # Two orders of float32 sums; ab is up to 60.
        np.testing.assert_allclose(traced(ab, L), upsample_ab(ab, L, method), rtol=0, atol=1e-3)
    if not jit_compile:
        assert traced(ab[:, :0], L[:0]).shape == (2, 0, 8, 9, 2)
        assert traced(ab[:0], L).shape == (0, 3, 8, 9, 2)


def test_gradients_are_those_of_finite_differences():
    parts = [tf.constant(part) for part in random_parts(3, 4, 7, 9)]
    directions = [tf.constant(part) for part in random_parts(3, 4, 7, 9, seed=1)]
    target = tf.constant(random_parts(7, 9, 7, 9, seed=2)[0])

    def loss(ab, L):
        up = upsample_ab(ab, L, sigma_space=0.8, sigma_range=25.0, radius=1)
        return tf.reduce_mean((up - target) ** 2)

    with tf.GradientTape() as tape:
        tape.watch(parts)
        value = loss(*parts)
    for k, gradient in enumerate(tape.gradient(value, parts)):
        step = [1e-5 * d if j == k else 0.0 for j, d in enumerate(directions)]
        up, down = (
            loss(*(x + sign * s for x, s in zip(parts, step, strict=True))) for sign in (1, -1)
        )
        numeric = float(up - down) / 2e-5
        assert abs(numeric) > 1.0
        np.testing.assert_allclose(tf.reduce_sum(gradient * directions[k]), numeric, rtol=1e-5)


@pytest.mark.parametrize(
    "ab, L, options, message",
    [
        ((4, 4, 2), (8, 8, 1), {"method": "nearest"}, "'bilinear'.*, got 'nearest'"),
        ((4, 4, 2), (8, 8, 1), {"sigma_space": 0.0}, "above 0, got 0.0 and 8.0"),
        ((4, 4, 2), (8, 8, 1), {"sigma_range": math.nan}, "above 0, got 0.4 and nan"),
        ((4, 4, 2), (8, 8, 1), {"radius": 0}, "integer radius of at least 1, got 0"),
        ((8, 8, 1), (4, 4, 2), {}, r"expected ab of shape \[\.\.\., 2\], got \(8, 8, 1\)"),
        ((4, 2), (8, 8, 1), {}, r"\[\*batch, H, W, 1\], .*, got \(4, 2\) and \(8, 8, 1\)"),
        ((2, 4, 4, 2), (3, 8, 8, 1), {}, r"got \(2, 4, 4, 2\) and \(3, 8, 8, 1\)"),
        ((4, 9, 2), (8, 8, 1), {}, r"with h <= H and w <= W, got \(4, 9, 2\) and \(8, 8, 1\)"),
    ],
)
def test_what_does_not_fit_is_refused(ab, L, options, message):
    with pytest.raises(UsageError, match=message) as caught:
        upsample_ab(tf.zeros(ab), tf.zeros(L), **options)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("upsample_ab")
