"""Batches of square crops out of photographs."""

import numpy as np
import tensorflow as tf

from tfp_cinn.data.batches import check_batch_size, of_epoch, shuffled_epoch
from tfp_cinn.data.photos import PhotoSplit
from tfp_cinn.errors import UsageError

# For photos that aren't in memory: number of photos cropped at a time, and of crops shuffled at a
# time.
_MIXED_PHOTOS = 16
_MIXED_CROPS = 4096


def training_crops(
    split: PhotoSplit,
    batch_size: int,
    *,
    seed: int = 0,
    epoch: int | tf.Tensor | None = None,
    numbered: bool = False,
) -> tf.data.Dataset:
    """Return one epoch of random crops.

    An epoch takes floor(H W / S^2) crops of each photo of H x W pixels, enough to tile it, at
    uniformly random positions; half are mirrored. If the photos are in memory, all crops are
    shuffled together; otherwise photos are read again every epoch, 16 at a time, and 4096 of their
    crops are shuffled at a time.

    Everything changes every epoch, and depends only on `seed` and the epoch's number. The remainder
    that doesn't fill a batch is dropped.

    Args:
        split: the photos.
        batch_size: B, from 1 to the number of crops in an epoch.
        seed: any integer.
        epoch: see `tfp_cinn.data.training_batches`.
        numbered: whether to give each batch a number that is unique over all epochs.

    Returns:
        float32 `[B, S, S, 3]`, S being the split's `size`: sRGB, 0 to 1 in steps of 1/255. If
        numbered, pairs with the number, an int64 scalar.

    Raises:
        UsageError: a batch below 1 or larger than an epoch.
    """
    check_batch_size(batch_size)
    if split.shapes is None:
        return _stream(split, batch_size, seed, epoch, numbered)
    areas = split.shapes.prod(axis=1)
    counts = areas // split.size**2
    total = int(counts.sum())
    if batch_size > total:
        raise UsageError(
            f"batch_size is {batch_size} but an epoch of these {len(counts)} photos has {total} "
            f"crops of {split.size} x {split.size} pixels: use at most {total}, or more photos"
        )
    if split.pixels is None:
        batches = _stream(split, batch_size, seed, epoch, numbered)
        return batches.apply(tf.data.experimental.assert_cardinality(total // batch_size))
    with tf.device("CPU:0"):
        photo_of = tf.constant(np.repeat(np.arange(len(counts)), counts))
        shapes, starts = tf.constant(split.shapes), tf.constant(areas.cumsum() - areas)

    def draw(key: tf.Tensor, rows: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        photos = tf.gather(photo_of, rows)
        shape = tf.ensure_shape(tf.gather(shapes, photos), [batch_size, 2])
        corners, mirrored = _random_places(shape, split.size, key)
        first = tf.gather(starts, photos)
        crops = _to_unit(_cut(split.pixels, first, shape[:, 1], corners, mirrored, split.size))
        return (crops, key[1]) if numbered else crops

    return shuffled_epoch(total, batch_size, draw, seed=seed, epoch=epoch)


def evaluation_crops(
    split: PhotoSplit, batch_size: int, *, per_photo: int | None = None, numbered: bool = False
) -> tf.data.Dataset:
    """Return a fixed set of crops, photo by photo, the same at every iteration.

    A photo of H x W pixels is divided into R x C equal cells with one crop of S x S pixels in the
    middle of each, so that none overlap: R = floor(H / S) and C = floor(W / S), or, with at most N
    crops per photo, R = sqrt(N H / W) rounded and C = floor(N / R) if they fit, for nearly square
    cells. `per_photo=1` takes the center crop.

    Args:
        split: the photos; there may be none.
        batch_size: B >= 1.
        per_photo: N, at least 1; None for all crops that fit.
        numbered: whether to return the photo of each crop.

    Returns:
        float32 `[<=B, S, S, 3]`, as in training; the last batch may be smaller. If numbered, pairs
        with int64 `[<=B]`, the photo's index in the split.

    Raises:
        UsageError: `batch_size` or `per_photo` is below 1.
    """
    check_batch_size(batch_size)
    if per_photo is not None and per_photo < 1:
        raise UsageError(f"per_photo is {per_photo}, expected at least 1, or None for all crops")
    size = split.size

    def places(number: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        return ((2 * tf.range(number) + 1) * length - number * size) // (2 * number)

    def cut(number: tf.Tensor, photo: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shape = tf.shape(photo, tf.int64)[:2]
        rows, columns = _grid(shape, size, per_photo)
        top, left = places(rows, shape[0]), places(columns, shape[1])
        corners = tf.reshape(tf.stack(tf.meshgrid(top, left, indexing="ij"), -1), [-1, 2])
        crops = _cut_photo(photo, corners, tf.zeros_like(corners[:, 0], tf.bool), size)
        return crops, tf.fill([rows * columns], number)

    photos = split.stream(None).enumerate()
    crops = photos.map(cut, tf.data.AUTOTUNE, deterministic=True).unbatch()
    if split.shapes is not None:
        rows, columns = _grid(split.shapes, size, per_photo)
        total = tf.reduce_sum(rows * columns)
        crops = crops.apply(tf.data.experimental.assert_cardinality(total))
    batches = crops.batch(batch_size).map(
        lambda rgb, number: (_to_unit(rgb), number) if numbered else _to_unit(rgb)
    )
    return batches.prefetch(tf.data.AUTOTUNE)


def _stream(
    split: PhotoSplit,
    batch_size: int,
    seed: int,
    epoch: int | tf.Tensor | None,
    numbered: bool,
) -> tf.data.Dataset:
    """Return training crops of photos that aren't in memory."""
    size = split.size
    seed %= 1 << 63

    def one_epoch(number: tf.Tensor) -> tf.data.Dataset:
        # An epoch's key, (seed, first), is followed by those of its photos and its blocks. Not
        # tf.data's shuffling, which also depends on the global seed.
        first = number * 2**32
        return (
            split.stream(tf.stack([seed, first]))
            .enumerate(first + 1)
            .map(cut, tf.data.AUTOTUNE, deterministic=True)
            .interleave(tf.data.Dataset.from_tensor_slices, cycle_length=_MIXED_PHOTOS)
            .batch(_MIXED_CROPS)
            .enumerate(first + 2**31)
            .map(mix)
            .prefetch(1)
            .unbatch()
            .batch(batch_size, drop_remainder=True)
            .enumerate(first)
        )

    def mix(n: tf.Tensor, crops: tf.Tensor) -> tf.Tensor:
        return tf.random.experimental.stateless_shuffle(crops, tf.stack([seed, n]), alg="philox")

    def cut(n: tf.Tensor, photo: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(photo, tf.int64)[:2]
        count = tf.reduce_prod(shape) // size**2
        shapes = tf.broadcast_to(shape, [count, 2])
        corners, mirrored = _random_places(shapes, size, tf.stack([seed, n]))
        return _cut_photo(photo, corners, mirrored, size)

    def finish(n: tf.Tensor, crops: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        return (_to_unit(crops), n) if numbered else _to_unit(crops)

    return of_epoch(one_epoch, epoch).map(finish).prefetch(tf.data.AUTOTUNE)


def _random_places(shapes: tf.Tensor, size: int, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw a corner `[B, 2]` in each photo of shape `[B, 2]`, and which crops to mirror, `[B]`."""
    draws = tf.random.stateless_uniform(
        [tf.shape(shapes)[0], 3], key, dtype=tf.float64, alg="philox"
    )
    places = tf.cast(shapes - size + 1, tf.float64)
    return tf.cast(draws[:, :2] * places, tf.int64), draws[:, 2] < 0.5


def _grid(shape: tf.Tensor, size: int, per_photo: int | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Return rows and columns `[...]` of the grid of crops in photos of shape `[..., 2]`."""
    height, width = shape[..., 0], shape[..., 1]
    rows, columns = height // size, width // size
    if per_photo is None:
        return rows, columns
    square = tf.round(tf.sqrt(tf.cast(per_photo * height, tf.float64) / tf.cast(width, tf.float64)))
    rows = tf.clip_by_value(tf.cast(square, tf.int64), 1, tf.minimum(rows, per_photo))
    return rows, tf.minimum(columns, per_photo // rows)


def _cut_photo(photo: tf.Tensor, corners: tf.Tensor, mirrored: tf.Tensor, size: int) -> tf.Tensor:
    nothing = tf.zeros_like(corners[:, 0])
    widths = nothing + tf.shape(photo, tf.int64)[1]
    return _cut(tf.reshape(photo, [-1, 3]), nothing, widths, corners, mirrored, size)


def _cut(
    pixels: tf.Tensor,
    starts: tf.Tensor,
    widths: tf.Tensor,
    corners: tf.Tensor,
    mirrored: tf.Tensor,
    size: int,
) -> tf.Tensor:
    """Gather crops `[B, S, S, 3]` at corners `[B, 2]` of photos, known by first pixel and width."""
    along = tf.range(size, dtype=tf.int64)
    rows = corners[:, :1] + along
    columns = corners[:, 1:] + tf.where(mirrored[:, tf.newaxis], size - 1 - along, along)
    lines = starts[:, tf.newaxis] + rows * widths[:, tf.newaxis]
    return tf.gather(pixels, lines[:, :, tf.newaxis] + columns[:, tf.newaxis, :])


def _to_unit(crops: tf.Tensor) -> tf.Tensor:
    return tf.cast(crops, tf.float32) / 255.0
