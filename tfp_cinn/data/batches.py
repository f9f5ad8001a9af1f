"""Batches of labeled images, with noise that is drawn anew for training and kept for evaluation."""

import math
from collections.abc import Callable

import tensorflow as tf

from tfp_cinn.data.labeled_images import Split
from tfp_cinn.errors import UsageError

Draw = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
"""Makes (x, cond) of images uint8 `[B, H, W, C]`, labels int32 `[B]` and a key, int64 `[2]`."""

# Uniform noise is a multiple of 2**-16: a level below 256 plus such a multiple has 24 bits, which
# float32 holds exactly. Finer noise could round up to the next level, and out of the bin.
_NOISE_STEPS = 1 << 16
_BLOCK = 256  # held-out images that share a key, whatever the batch size


def dequantize(noise_std: float = 0.0) -> Draw:
    """Return what adds noise to gray levels v, for the batches of x given the label.

    With `noise_std` 0, x = v + u for u ~ U[0, 1): uniform dequantization, under which the mean of
    -log p(x) over u bounds the discrete -log P(v) from above (Theis et al. 2016). Otherwise
    x = v + 1/2 + noise_std * n for n ~ N(0, 1) (Ardizzone et al. 2019).

    Args:
        noise_std: standard deviation of the Gaussian noise in gray levels, or 0.

    Raises:
        UsageError: a `noise_std` that is negative or not finite.

    References:
        L. Theis, A. van den Oord, M. Bethge: A note on the evaluation of generative models, 2016,
        arXiv:1511.01844. L. Ardizzone et al.: Guided image generation with conditional invertible
        neural networks, 2019, arXiv:1907.02392.
    """
    check_noise(noise_std)

    def draw(images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        levels, shape = tf.cast(images, tf.float32), tf.shape(images)
        if noise_std:
            noise = tf.random.stateless_normal(shape, key, alg="philox")
            return levels + 0.5 + noise_std * noise, labels
        noise = tf.random.stateless_uniform(shape, key, alg="philox")
        return levels + tf.floor(noise * _NOISE_STEPS) / _NOISE_STEPS, labels

    return draw


def training_batches(
    split: Split,
    batch_size: int,
    draw: Draw | None = None,
    *,
    seed: int = 0,
    epoch: int | tf.Tensor | None = None,
) -> tf.data.Dataset:
    """Return one epoch of shuffled batches, by default of `(x, label)`, uniformly dequantized.

    Order and noise change every epoch, and depend only on `seed` and the epoch's number. The
    remainder that doesn't fill a batch is dropped.

    Args:
        split: N images and labels.
        batch_size: B, 1 .. N.
        draw: `paint_digits`, or `dequantize`, uniformly if None.
        seed: any integer.
        epoch: which epoch, counted from 0, an integer or an int64 tensor; if None, each iteration
            is the next one.

    Returns:
        N // B pairs (x, cond), as `draw` makes them.

    Raises:
        UsageError: a batch larger than the split or below 1.
    """
    count = len(split.labels)
    check_batch_size(batch_size, count)
    draw, (images, labels) = draw or dequantize(), _on_host(split)
    num_batches = count // batch_size
    # Each draw has its own key (seed, n), where n counts an epoch's order and then its batches.
    # Python integers of any size or sign are folded into int64.
    seed %= 1 << 63

    def one_epoch(number: tf.Tensor) -> tf.data.Dataset:
        first = number * (num_batches + 1)
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count), tf.stack([seed, first]), alg="philox"
        )
        rows = tf.reshape(order[: num_batches * batch_size], [num_batches, batch_size])
        return tf.data.Dataset.from_tensor_slices(rows).enumerate(first + 1)

    def make(n: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        key = tf.stack([seed, n])
        return draw(tf.gather(images, rows), tf.gather(labels, rows), key)

    batches = of_epoch(one_epoch, epoch).map(make, tf.data.AUTOTUNE, deterministic=True)
    return _known(batches, num_batches)


def evaluation_batches(
    split: Split, batch_size: int, draw: Draw | None = None, *, seed: int = 0
) -> tf.data.Dataset:
    """Return all images once, in order, in batches as `training_batches` has, always the same.

    What is drawn for image i depends only on `seed` and i, so results don't depend on the batch
    size. The last batch may be smaller, and there may be no images.

    Raises:
        UsageError: `batch_size` is below 1.
    """
    check_batch_size(batch_size)
    draw, (images, labels) = draw or dequantize(), _on_host(split)
    seed %= 1 << 63

    def block(n: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows = slice(n * _BLOCK, (n + 1) * _BLOCK)
        return draw(images[rows], labels[rows], tf.stack([seed, -1 - n]))  # training's n are >= 0

    count = len(split.labels)
    blocks = tf.data.Dataset.range(math.ceil(count / _BLOCK))
    batches = blocks.map(block, tf.data.AUTOTUNE, deterministic=True).rebatch(batch_size)
    return _known(batches, math.ceil(count / batch_size))


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
    """Raise a UsageError for a batch size below 1 or above the number of examples."""
    if batch_size < 1 or (count is not None and batch_size > count):
        most = "" if count is None else f" and at most {count}, as there are in an epoch"
        raise UsageError(f"batch_size is {batch_size}, expected at least 1{most}")


def check_noise(noise_std: float) -> None:
    """Raise a UsageError for a standard deviation that is negative or not finite."""
    if not 0.0 <= noise_std < math.inf:
        raise UsageError(f"noise_std is {noise_std}, expected a finite number >= 0")


def _on_host(split: Split) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.device("CPU:0"):
        return tf.constant(split.images), tf.constant(split.labels)


def _known(batches: tf.data.Dataset, count: int) -> tf.data.Dataset:
    batches = batches.apply(tf.data.experimental.assert_cardinality(count))
    return batches.prefetch(tf.data.AUTOTUNE)
