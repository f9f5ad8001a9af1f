"""Digits in the colors of their class: the paper's color-MNIST, for any labeled gray images."""

import math

import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter1d

from tfp_cinn.data.batches import Draw, check_noise

HUES: tuple[tuple[float, float], ...] = (
    (0.0, 20.0), (50.0, 10.0), (110.0, 30.0), (180.0, 20.0), (235.0, 25.0), (305.0, 25.0),
)  # fmt: skip
"""Mean and standard deviation of six hues, degrees."""

PAIRINGS: tuple[tuple[int, int], ...] = (
    (0, 2), (1, 3), (2, 4), (3, 5), (4, 0), (5, 1), (0, 4), (2, 0), (4, 2), (5, 3),
)  # fmt: skip
"""Indices of the hues of foreground and background for each class."""

_MNIST_SIDE = 28


def class_hues() -> np.ndarray:
    """Return the mean and standard deviation, degrees, of the hues of each class.

    Returns:
        `[10, 2, 2]`: class; foreground and background; mean and standard deviation.
    """
    return np.array(HUES, np.float32)[np.array(PAIRINGS)]


def paint(gray: tf.Tensor, hues: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Color gray images, as the paper's code does (color_mnist.py of mnist_cINN).

        hue        = g h_fg + (1 - g) h_bg + 0.25 s blur(n_1; 4 s)   modulo 1 turn
        saturation = 0.8 + 0.3 s blur(n_2; 2 s)                      clipped to [0, 1]
        value      = 0.8 + 0.05 n_3                                  clipped to [0, 1]

    where s = H / 28 is 1 for MNIST. For other sizes, the blur's width scales with the image, and so
    does the noise, since a narrower blur leaves more of it. The blur is Gaussian, truncated at four
    standard deviations, and repeats the border. Hues are interpolated linearly in degrees, not
    along the shorter arc.

    Args:
        gray: g, `[B, H, W, 1]`, from 0, the background, to 1.
        hues: h_fg and h_bg, `[B, 2]`, degrees of any range.
        noise: n ~ N(0, 1), `[B, H, W, 3]`.

    Returns:
        RGB in [0, 1], `[B, H, W, 3]`.
    """
    scale = gray.shape[1] / _MNIST_SIDE
    n_1, n_2, n_3 = tf.unstack(noise, axis=-1)
    gray, turns = gray[..., 0], hues[:, tf.newaxis, tf.newaxis] / 360
    hue = gray * turns[..., 0] + (1 - gray) * turns[..., 1] + 0.25 * scale * _blur(n_1, 4 * scale)
    saturation = tf.clip_by_value(0.8 + 0.3 * scale * _blur(n_2, 2 * scale), 0.0, 1.0)
    value = tf.clip_by_value(0.8 + 0.05 * n_3, 0.0, 1.0)
    return tf.image.hsv_to_rgb(tf.stack([tf.math.floormod(hue, 1.0), saturation, value], axis=-1))


def paint_digits(levels: int, noise_std: float = 0.0) -> Draw:
    """Return what colors gray digits, for `training_batches` and `evaluation_batches`.

    The hues h_fg and h_bg of an image are drawn from the normal distributions of its class
    (`class_hues`), the image is painted (`paint`), and x = rgb + noise_std * n for n ~ N(0, 1),
    given the gray image, from 0 to 1. So colors are new in every epoch of training; the paper's
    code colors its images only once.

    Args:
        levels: number of gray levels.
        noise_std: standard deviation of the noise on x.

    Raises:
        UsageError: a `noise_std` that is negative or not finite.

    References:
        L. Ardizzone et al.: Guided image generation with conditional invertible neural networks,
        2019, arXiv:1907.02392.
    """
    check_noise(noise_std)

    def draw(images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        gray = tf.cast(images, tf.float32) / (levels - 1)
        shape = [*gray.shape[1:3], 3]
        size = math.prod(shape)
        # One row of numbers per image, so that they don't depend on the number of images.
        normal = tf.random.stateless_normal([tf.shape(gray)[0], 2 + 2 * size], key, alg="philox")
        hues, noise, more_noise = tf.split(normal, [2, size, size], axis=1)
        mean_and_std = tf.gather(class_hues(), labels)
        hues = mean_and_std[..., 0] + mean_and_std[..., 1] * hues
        rgb = paint(gray, hues, tf.reshape(noise, [-1, *shape]))
        return rgb + noise_std * tf.reshape(more_noise, [-1, *shape]), gray

    return draw


def _blur(noise: tf.Tensor, sigma: float) -> tf.Tensor:
    """Blur noise `[B, H, W]` by a Gaussian."""
    rows, columns = (
        gaussian_filter1d(np.eye(n, dtype=np.float32), sigma, axis=0, mode="nearest")
        for n in noise.shape[1:]
    )
    return tf.einsum("ij,bjk,lk->bil", rows, noise, columns)
