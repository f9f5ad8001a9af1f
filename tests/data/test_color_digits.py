"""Digits in colors: the rendering against numpy, hues by class, and what is reproducible."""

import math

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.colors import hsv_to_rgb
from skimage.filters import gaussian

from tfp_cinn.data import Split, evaluation_color_digits, training_color_digits
from tfp_cinn.data.color_digits import HUES, PAIRINGS, class_hues, paint
from tfp_cinn.errors import UsageError

COUNT = 700  # more than two blocks of random numbers


@pytest.fixture(scope="module")
def split():
    """Images of background on the left and foreground on the right, each with its own mark."""
    images = np.zeros((COUNT, 8, 8, 1), np.uint8)
    images[:, :, 4:] = 16
    images[:, 0, 0, 0] = np.arange(COUNT) % 17
    return Split(images, np.arange(COUNT, dtype=np.int32) % 10)


def epoch(dataset):
    return [np.concatenate(parts) for parts in zip(*dataset.as_numpy_iterator(), strict=True)]


def painted_by_numpy(gray, hues, noise):
    """One image, with skimage and matplotlib."""
    scale = len(gray) / 28
    hue = (gray * hues[0] + (1 - gray) * hues[1]) / 360
    hue = hue + 0.25 * scale * gaussian(noise[..., 0], 4 * scale)
    saturation = 0.8 + 0.3 * scale * gaussian(noise[..., 1], 2 * scale)
    hsv = np.stack([hue % 1, saturation, 0.8 + 0.05 * noise[..., 2]], axis=-1)
    return hsv_to_rgb(np.clip(hsv, 0, 1))


@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (7, 12)])
def test_it_paints_as_numpy_does(shape):
    rng = np.random.RandomState(0)
    gray = rng.rand(6, *shape)
    # Below 0, around red and beyond a turn; noise that saturates saturation and value as well.
    hues = np.array([[-30, 110], [359, 1], [400, -500], [0, 360], [235, 0], [12, 300.0]])
    noise = rng.randn(6, *shape, 3) * [1, 3, 3]
    x = paint(
        tf.constant(gray[..., None], tf.float32),
        tf.constant(hues, tf.float32),
        tf.constant(noise, tf.float32),
    ).numpy()
    expected = [painted_by_numpy(*parts) for parts in zip(gray, hues, noise, strict=True)]
    # RGB changes by up to 4.8 a turn, and float32 knows a hue of a turn or two to 1e-7.
    np.testing.assert_allclose(x, expected, atol=3e-6)


def test_noise_is_as_strong_in_small_images_as_in_those_of_mnist():
    spread = []
    for side in (28, 8):
        noise = tf.random.stateless_normal((400, side, side, 3), (0, 0))
        x = paint(tf.ones((400, side, side, 1)), tf.zeros((400, 2)), noise)
        # In the middle, as the repeated border adds more to wide blurs.
        middle = x[:, side // 2, side // 2]
        hue, saturation, _ = np.moveaxis(tf.image.rgb_to_hsv(middle).numpy(), -1, 0)
        spread.append((((hue + 0.5) % 1).std(), saturation.std()))
    # Five standard errors of 400 images are 18 %, and narrow blurs feel the pixels.
    np.testing.assert_allclose(*spread, rtol=0.25)
    # White noise through a wide blur.
    expected = [a / (2 * math.sqrt(math.pi) * s) for a, s in ((0.25, 4), (0.3, 2))]
    np.testing.assert_allclose(spread[0], expected, rtol=0.25)


def test_hues_are_those_of_the_class(split):
    assert class_hues().shape == (10, 2, 2)
    np.testing.assert_array_equal(class_hues()[7], [HUES[2], HUES[0]])
    assert len(PAIRINGS) == 10 and all(a != b for a, b in PAIRINGS)
    xs = np.stack([epoch(evaluation_color_digits(split, 17, 100, seed=s))[0] for s in range(8)])
    hue = 360 * tf.image.rgb_to_hsv(xs).numpy()[..., 0]
    for label in range(10):
        of_class = hue[:, split.labels == label]
        for part, columns in enumerate((slice(4, None), slice(1, 4))):
            mean, std = class_hues()[label, part]
            deviation = (of_class[..., columns] - mean + 180) % 360 - 180
            # Five standard errors of 560 images, whose hue noise of 6 degrees averages out.
            per_image = deviation.mean(axis=(-2, -1)).ravel()
            assert abs(per_image.mean()) < 5 * std / math.sqrt(560)
            assert abs(per_image.std() / std - 1) < 0.2


@pytest.mark.parametrize("build", [training_color_digits, evaluation_color_digits])
def test_types_shapes_and_ranges(split, build):
    dataset = build(split, 17, 70)
    x, gray = dataset.element_spec
    assert x.shape[1:] == (8, 8, 3) and gray.shape[1:] == (8, 8, 1)
    assert x.dtype == gray.dtype == tf.float32
    assert len(dataset) == 10
    x, gray = epoch(dataset)
    assert 0 <= x.min() < 0.1 and 0.9 < x.max() <= 1
    assert gray.min() == 0 and gray.max() == 1


@pytest.mark.parametrize("build", [training_color_digits, evaluation_color_digits])
def test_noise_has_its_standard_deviation_and_leaves_the_colors(split, build):
    clean, gray = epoch(build(split, 17, COUNT))
    noisy, same = epoch(build(split, 17, COUNT, noise_std=0.15))
    np.testing.assert_array_equal(gray, same)
    noise = (noisy - clean) / 0.15
    assert abs(noise.mean()) < 5 / math.sqrt(noise.size)
    assert abs(noise.std() - 1) < 5 / math.sqrt(2 * noise.size)


def test_training_has_new_colors_in_every_epoch_and_is_a_function_of_the_seed(split):
    dataset = training_color_digits(split, 17, 100, seed=7)
    assert dataset.element_spec[0].shape == (100, 8, 8, 3)
    first, second = epoch(dataset), epoch(dataset)
    again = training_color_digits(split, 17, 100, seed=7)
    for one, other in zip((first, second), (epoch(again), epoch(again)), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    corners = [np.sort(x[:, -1, -1, 0]) for x, _ in (first, second)]
    assert np.abs(corners[0] - corners[1]).max() > 1e-3
    by_number = training_color_digits(split, 17, 100, seed=7, epoch=1)
    np.testing.assert_array_equal(epoch(by_number)[0], second[0])
    other = epoch(training_color_digits(split, 17, 100, seed=8))
    assert np.abs(other[0] - first[0]).max() > 0.1


@pytest.mark.parametrize("batch_size", [7, 1000])
def test_held_out_colors_depend_on_the_image_alone(split, batch_size):
    x, gray = epoch(evaluation_color_digits(split, 17, 100))
    again = epoch(evaluation_color_digits(split, 17, batch_size))
    np.testing.assert_array_equal(again[0], x)
    np.testing.assert_array_equal(again[1], gray)
    np.testing.assert_array_equal(gray, split.images / np.float32(16))
    shorter = Split(split.images[:300], split.labels[:300])
    np.testing.assert_allclose(
        epoch(evaluation_color_digits(shorter, 17, batch_size))[0], x[:300], atol=1e-6
    )
    assert len(np.unique(x[:, -1, -1], axis=0)) == COUNT
    other = epoch(evaluation_color_digits(split, 17, 100, seed=1))
    assert not np.array_equal(other[0], x)


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        (training_color_digits, {"batch_size": 701}, "batch_size is 701 but the split has 700"),
        (evaluation_color_digits, {"batch_size": 0}, "batch_size is 0, expected at least 1"),
        (training_color_digits, {"noise_std": -0.1}, "noise_std is -0.1, expected a finite number"),
        (evaluation_color_digits, {"noise_std": math.nan}, "noise_std is nan, expected a finite"),
    ],
)
def test_wrong_arguments_are_answered_in_one_line(split, build, arguments, message):
    with pytest.raises(UsageError, match=message):
        build(split, 17, **{"batch_size": 10, **arguments})
