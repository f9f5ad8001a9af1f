"""Digits in the colors of their class: the paper's color-MNIST, for any labeled gray images."""

import math

import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter1d

from tfp_cinn.data.batches import check_batch_size, check_noise, shuffled_epoch
from tfp_cinn.data.labeled_images import Split

HUES: tuple[tuple[float, float], ...] = (
    (0.0, 20.0), (50.0, 10.0), (110.0, 30.0), (180.0, 20.0), (235.0, 25.0), (305.0, 25.0),
)  # fmt: skip
"""Mean and standard deviation of six hues, degrees."""

PAIRINGS: tuple[tuple[int, int], ...] = (
    (0, 2), (1, 3), (2, 4), (3, 5), (4, 0), (5, 1), (0, 4), (2, 0), (4, 2), (5, 3),
)  # fmt: skip
"""Indices of the hues of foreground and background for each class."""

_MNIST_SIDE = 28

# Held-out images that are painted together, whatever the batch size.
_BLOCK = 256


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


def training_color_digits(
    split: Split,
    levels: int,
    batch_size: int,
    *,
    noise_std: float = 0.0,
    seed: int = 0,
    epoch: int | tf.Tensor | None = None,
) -> tf.data.Dataset:
    """Return one epoch of shuffled batches `(x, gray)`, as `training_batches` does.

    The hues h_fg and h_bg of an image are drawn from the normal distributions of its class
    (`class_hues`), the image is painted (`paint`), and x = rgb + noise_std * n for n ~ N(0, 1).
    Colors are new in every epoch; the paper's code colors its images only once.

    Args:
        split: images `[N, H, W, 1]` and labels `[N]`, 0 to 9.
        levels: number of gray levels.
        batch_size: B, 1 .. N.
        noise_std: standard deviation of the noise on x.
        seed: see `training_batches`.
        epoch: likewise.

    Returns:
        N // B pairs of x, float32 `[B, H, W, 3]`, and gray from 0 to 1, float32 `[B, H, W, 1]`.

    Raises:
        UsageError: a batch larger than the split or below 1, or noise that is negative or not
            finite.

    References:
        L. Ardizzone et al.: Guided image generation with conditional invertible neural networks,
        2019, arXiv:1907.02392.
    """
    check_batch_size(batch_size, len(split.labels))
    check_noise(noise_std)
    with tf.device("CPU:0"):
        images, labels = tf.constant(split.images), tf.constant(split.labels)

    def draw(key: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _draw(tf.gather(images, rows), tf.gather(labels, rows), levels, key, noise_std)

    return shuffled_epoch(len(split.labels), batch_size, draw, seed=seed, epoch=epoch)


def evaluation_color_digits(
    split: Split, levels: int, batch_size: int, *, noise_std: float = 0.0, seed: int = 0
) -> tf.data.Dataset:
    """Return all images once, in order, as batches `(x, gray)`, the same at every iteration.

    x is as in `training_color_digits`. Colors and noise of image i depend only on `seed` and i, so
    results don't depend on the batch size. The last batch may be smaller.

    Raises:
        UsageError: `batch_size` is below 1, or noise that is negative or not finite.
    """
    check_batch_size(batch_size)
    check_noise(noise_std)
    with tf.device("CPU:0"):
        images, labels = tf.constant(split.images), tf.constant(split.labels)
    seed %= 1 << 63

    def block(n: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows = slice(n * _BLOCK, (n + 1) * _BLOCK)
        key = tf.stack([seed, -1 - n])  # the keys of training are not negative
        return _draw(images[rows], labels[rows], levels, key, noise_std)

    count = len(split.labels)
    return (
        tf.data.Dataset.range(math.ceil(count / _BLOCK))
        .map(block, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .unbatch()
        .batch(batch_size)
        .apply(tf.data.experimental.assert_cardinality(math.ceil(count / batch_size)))
        .prefetch(tf.data.AUTOTUNE)
    )


def _draw(
    images: tf.Tensor, labels: tf.Tensor, levels: int, key: tf.Tensor, noise_std: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return images in hues of their classes, with noise, and in gray from 0 to 1."""
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


def _blur(noise: tf.Tensor, sigma: float) -> tf.Tensor:
    """Blur noise `[B, H, W]` by a Gaussian."""
    rows, columns = (
        gaussian_filter1d(np.eye(n, dtype=np.float32), sigma, axis=0, mode="nearest")
        for n in noise.shape[1:]
    )
    return tf.einsum("ij,bjk,lk->bil", rows, noise, columns)
