"""Digits in colors: the rendering against numpy, hues by class."""

import math

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.colors import hsv_to_rgb
from skimage.filters import gaussian

from tfp_cinn.data import Split, evaluation_batches, paint_digits
from tfp_cinn.data.color_digits import class_hues, paint


def painted_by_numpy(gray, hues, noise):
    """One image, with skimage and matplotlib."""
    scale = len(gray) / 28
    hue = (gray * hues[0] + (1 - gray) * hues[1]) / 360
    hue = hue + 0.25 * scale * gaussian(noise[..., 0], 4 * scale)
    saturation = 0.8 + 0.3 * scale * gaussian(noise[..., 1], 2 * scale)
    hsv = np.stack([hue % 1, saturation, 0.8 + 0.05 * noise[..., 2]], axis=-1)
    return hsv_to_rgb(np.clip(hsv, 0, 1))


@pytest.mark.parametrize("shape", [(28, 28), (7, 12)])
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


def test_hues_are_those_of_the_class_and_noise_leaves_them():
    labels = np.arange(3000, dtype=np.int32) % 10
    images = np.zeros((3000, 8, 8, 1), np.uint8)
    images[:, :, 4:] = 16  # background on the left, foreground on the right
    split = Split(images, labels)
    clean, noisy = (
        np.concatenate([x for x, _ in evaluation_batches(split, 3000, paint_digits(17, std))])
        for std in (0.0, 0.15)
    )
    assert 0 <= clean.min() < 0.1 and 0.9 < clean.max() <= 1
    noise = (noisy - clean) / 0.15
    assert abs(noise.mean()) < 5 / math.sqrt(noise.size)
    assert abs(noise.std() - 1) < 5 / math.sqrt(2 * noise.size)
    hue = 360 * tf.image.rgb_to_hsv(clean).numpy()[..., 0]
    for label in range(10):
        for part, columns in enumerate((slice(4, None), slice(1, 4))):
            mean, std = class_hues()[label, part]
            deviation = (hue[labels == label][..., columns] - mean + 180) % 360 - 180
            # Five standard errors of 300 images, whose hue noise of 6 degrees averages out.
            per_image = deviation.mean(axis=(-2, -1))
            assert abs(per_image.mean()) < 5 * std / math.sqrt(300)
            assert abs(per_image.std() / std - 1) < 0.25
