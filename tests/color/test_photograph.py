import numpy as np
import pytest
import tensorflow as tf
from skimage import color, data

from tfp_cinn import UsageError
from tfp_cinn.color import rgb_to_lab, split_lab, to_rgb

METHODS = ["joint_bilateral", "bilinear"]


def photograph(name):
    return (getattr(data, name)() / 255.0).astype("float32")


def rms_levels(a, b):
    return 255.0 * np.sqrt(np.mean((a - b) ** 2))


@pytest.mark.parametrize(
    "name, bilinear, joint_bilateral",
    [
        # RMS errors in 8-bit levels, as measured; without color they are 32.8 and 50.2.
        ("astronaut", 4.16, 3.75),
        ("coffee", 4.30, 3.79),
    ],
)
def test_a_photograph_comes_back_from_its_color_at_a_quarter(name, bilinear, joint_bilateral):
    rgb = photograph(name)
    L, _, ab = split_lab(rgb, (rgb.shape[0] // 4, rgb.shape[1] // 4))
    errors = [rms_levels(to_rgb(L, ab, method), rgb) for method in METHODS]
    np.testing.assert_allclose(errors, [joint_bilateral, bilinear], rtol=0, atol=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_lightness_is_kept_whatever_the_color(method):
    L = rgb_to_lab(photograph("astronaut")[100:180, 100:190])[..., :1]
    ab = tf.random.uniform([3, 10, 12, 2], -6.0, 6.0)
    rgb = to_rgb(L, ab, method).numpy()
    assert rgb.shape == (3, 80, 90, 3) and rgb.min() >= 0 and rgb.max() <= 1
    inside = ((rgb > 0) & (rgb < 1)).all(axis=-1)
    assert inside.mean() > 0.8
    got = rgb_to_lab(rgb)[..., 0].numpy()
    expected = np.broadcast_to(L[..., 0], inside.shape)
    np.testing.assert_allclose(got[inside], expected[inside], rtol=0, atol=1e-3)


def test_full_resolution_and_back_is_the_photograph():
    rgb = photograph("chelsea")[:50, :61]
    L, small_L, ab = split_lab(rgb, (50, 61))
    np.testing.assert_allclose(small_L, L, atol=1e-4)
    # Measured: 1.1e-5.
    np.testing.assert_allclose(to_rgb(L, ab, "bilinear"), rgb, rtol=0, atol=5e-5)


@pytest.mark.parametrize("batch", [(), (2, 1)])
def test_split_averages_lab_over_areas(batch):
    rgb = np.random.RandomState(0).rand(*batch, 12, 20, 3)
    parts = split_lab(rgb, (3, 4))
    lab = color.rgb2lab(rgb)
    small = lab.reshape(*batch, 3, 4, 4, 5, 3).mean((-4, -2))
    np.testing.assert_allclose(parts.L, lab[..., :1], atol=1e-10)
    np.testing.assert_allclose(parts.small_L, small[..., :1], atol=1e-10)
    np.testing.assert_allclose(parts.small_ab, small[..., 1:], atol=1e-10)


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (11, 2)])
def test_areas_of_any_size_are_averaged(size):
    rgb = np.random.RandomState(0).rand(2, 11, 13, 3)
    lab = rgb_to_lab(rgb).numpy()
    # Every pixel in h * w equal parts, so that areas are whole again.
    h, w = size
    parts = lab.repeat(h, axis=1).repeat(w, axis=2)
    expected = parts.reshape(2, h, 11, w, 13, 3).mean((2, 4))
    got = split_lab(rgb, size)
    np.testing.assert_allclose(got.small_L, expected[..., :1], atol=1e-10)
    np.testing.assert_allclose(got.small_ab, expected[..., 1:], atol=1e-10)
    resized = tf.image.resize(lab, size, "area")
    # TensorFlow's own has this error in float32.
    np.testing.assert_allclose(got.small_ab, resized[..., 1:], atol=1e-3)


def test_split_has_a_gradient_and_knows_no_sizes():
    rgb = np.random.RandomState(0).rand(2, 9, 14, 3)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float64)])
    def split(rgb):
        return split_lab(rgb, (4, 5))

    for got, expected in zip(split(rgb), split_lab(rgb, (4, 5)), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-10)
    assert split(rgb[:0]).small_ab.shape == (0, 4, 5, 2)
    rgb = tf.constant(rgb)
    with tf.GradientTape() as tape:
        tape.watch(rgb)
        # The mean of small_L is that of L: areas are equal.
        total = tf.reduce_mean(split_lab(rgb, (4, 5)).small_L)
    gradient = tape.gradient(total, rgb)
    with tf.GradientTape() as tape:
        tape.watch(rgb)
        total = tf.reduce_mean(rgb_to_lab(rgb)[..., 0])
    np.testing.assert_allclose(gradient, tape.gradient(total, rgb), atol=1e-12)


def test_the_color_of_a_loss_reaches_ab():
    rgb = photograph("coffee")[100:140, 200:240]
    L, _, ab = split_lab(rgb, (10, 10))
    with tf.GradientTape() as tape:
        tape.watch(ab)
        loss = tf.reduce_mean((to_rgb(L, ab) - rgb) ** 2)
    gradient = tape.gradient(loss, ab).numpy()
    assert np.isfinite(gradient).all() and (np.abs(gradient).max(axis=(0, 1)) > 0).all()


@pytest.mark.parametrize(
    "rgb, size, message",
    [
        (tf.zeros([8, 8, 3], tf.uint8), (4, 4), r"got uint8: divide 8-bit values by 255\.0"),
        (tf.zeros([8, 3]), (4, 4), r"shape \[\.\.\., H, W, 3\], got \(8, 3\)"),
        (tf.zeros([8, 8, 3]), (4, 9), r"at most \(8, 8\), got \(4, 9\)"),
        (tf.zeros([8, 8, 3]), (0, 4), r"at least \(1, 1\) and .* got \(0, 4\)"),
    ],
)
def test_what_can_not_be_split_is_refused(rgb, size, message):
    with pytest.raises(UsageError, match=message) as caught:
        split_lab(rgb, size)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("split_lab")
