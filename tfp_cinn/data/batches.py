"""Batches of dequantized images."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfp_cinn.data.labeled_images import Split
from tfp_cinn.errors import UsageError

# Uniform noise is a multiple of 2**-16: a level below 256 plus such a multiple has 24 bits, which
# float32 holds exactly. Finer noise could round up to the next level, and out of the bin.
_NOISE_STEPS = 1 << 16


def training_batches(
    split: Split,
    batch_size: int,
    *,
    noise_std: float = 0.0,
    seed: int = 0,
    epoch: int | tf.Tensor | None = None,
) -> tf.data.Dataset:
    """Return one epoch of shuffled batches `(x, label)`.

    With `noise_std` 0, x = v + u for u ~ U[0, 1): uniform dequantization, under which the mean of
    -log p(x) over u bounds the discrete -log P(v) from above (Theis et al. 2016). Otherwise
    x = v + 1/2 + noise_std * n for n ~ N(0, 1) (Ardizzone et al. 2019).

    Order and noise change every epoch, and depend only on `seed` and the epoch's number. The
    remainder that doesn't fill a batch is dropped.

    Args:
        split: N images and labels.
        batch_size: B, 1 .. N.
        noise_std: standard deviation of the Gaussian noise in gray levels, or 0.
        seed: any integer.
        epoch: which epoch, counted from 0, an integer or an int64 tensor; if None, each iteration
            is the next one.

    Returns:
        N // B pairs of x, float32 `[B, H, W, C]` in gray levels, and label, int32 `[B]`.

    Raises:
        UsageError: a batch larger than the split or below 1, or a `noise_std` that is negative or
            not finite.

    References:
        L. Theis, A. van den Oord, M. Bethge: A note on the evaluation of generative models, 2016,
        arXiv:1511.01844. L. Ardizzone et al.: Guided image generation with conditional invertible
        neural networks, 2019, arXiv:1907.02392.
    """
    count = len(split.labels)
    check_batch_size(batch_size, count)
    check_noise(noise_std)
    with tf.device("CPU:0"):
        images, labels = tf.constant(split.images), tf.constant(split.labels)

    def draw(key: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        levels = tf.cast(tf.gather(images, rows), tf.float32)
        if noise_std:
            noise = tf.random.stateless_normal(levels.shape, key, alg="philox")
            x = levels + 0.5 + noise_std * noise
        else:
            noise = tf.random.stateless_uniform(levels.shape, key, alg="philox")
            x = levels + tf.floor(noise * _NOISE_STEPS) / _NOISE_STEPS
        return x, tf.gather(labels, rows)

    return shuffled_epoch(count, batch_size, draw, seed=seed, epoch=epoch)


def evaluation_batches(split: Split, batch_size: int, *, seed: int = 0) -> tf.data.Dataset:
    """Return all images once, in order, as batches `(x, label)`, the same at every iteration.

    x = v + u for u ~ U[0, 1), as in `training_batches` without Gaussian noise. The noise of image
    i depends only on `seed` and i, so results don't depend on the batch size. The last batch may
    be smaller, and there may be no images.

    Raises:
        UsageError: `batch_size` is below 1.
    """
    check_batch_size(batch_size)
    # Drawn once for the split: two bytes per pixel are cheap to keep.
    generator = np.random.Generator(np.random.Philox(seed % (1 << 63)))
    steps = generator.integers(0, _NOISE_STEPS, split.images.shape, dtype=np.uint16)
    with tf.device("CPU:0"):
        images, labels = tf.constant(split.images), tf.constant(split.labels)
        noise = tf.constant(steps)

    def cut(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows = slice(start, start + batch_size)
        x = tf.cast(images[rows], tf.float32) + tf.cast(noise[rows], tf.float32) / _NOISE_STEPS
        return x, labels[rows]

    return (
        tf.data.Dataset.range(0, len(split.labels), batch_size)
        .map(cut, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def shuffled_epoch(
    count: int,
    batch_size: int,
    draw: Callable[[tf.Tensor, tf.Tensor], tf.types.experimental.TensorLike],
    *,
    seed: int,
    epoch: int | tf.Tensor | None,
) -> tf.data.Dataset:
    """Return an epoch's batches, in random order.

    Args:
        count: the number of rows.
        batch_size: B, 1 .. count.
        draw: makes a batch from a key, int64 `[2]`, unique to the batch and epoch, for stateless
            random numbers, and from the indices of its rows, int32 `[B]`.
        seed: any integer.
        epoch: see `of_epoch`.
    """
    num_batches = count // batch_size
    # Each draw has its own key (seed, n), where n counts an epoch's order and then its batches.
    # Python integers of any size or sign are folded into int64.
    seed %= 1 << 63

    def one_epoch(number: tf.Tensor) -> tf.data.Dataset:
        first = number * (num_batches + 1)
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count), tf.stack([seed, first]), alg="philox"
        )
        indices = tf.reshape(order[: num_batches * batch_size], [num_batches, batch_size])
        return tf.data.Dataset.from_tensor_slices(indices).enumerate(first + 1)

    return (
        of_epoch(one_epoch, epoch)
        .map(
            lambda n, rows: draw(tf.stack([seed, n]), rows),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .apply(tf.data.experimental.assert_cardinality(num_batches))
        .prefetch(tf.data.AUTOTUNE)
    )


def of_epoch(
    one_epoch: Callable[[tf.Tensor], tf.data.Dataset], epoch: int | tf.Tensor | None
) -> tf.data.Dataset:
    """Return one epoch as a function of its number.

    Args:
        one_epoch: makes the epoch of an int64 scalar.
        epoch: the number; if None, each iteration is the next epoch, the first is epoch 0.
    """
    if epoch is not None:
        return one_epoch(tf.cast(epoch, tf.int64))
    with tf.device("CPU:0"):
        latest = tf.Variable(-1, dtype=tf.int64, trainable=False)
    return tf.data.Dataset.range(1).flat_map(lambda _: one_epoch(latest.assign_add(1)))


def check_batch_size(batch_size: int, count: int | None = None) -> None:
    """Raise a UsageError for a batch size below 1 or above the number of images."""
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}, expected at least 1")
    if count is not None and batch_size > count:
        raise UsageError(
            f"batch_size is {batch_size} but the split has {count} images: use at most {count}"
        )


def check_noise(noise_std: float) -> None:
    """Raise a UsageError for a standard deviation that is negative or not finite."""
    if not 0.0 <= noise_std < math.inf:
        raise UsageError(f"noise_std is {noise_std}, expected a finite number >= 0")
