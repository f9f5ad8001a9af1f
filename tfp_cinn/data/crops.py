"""Batches of square crops out of photographs."""

import tensorflow as tf

from tfp_cinn.data.batches import check_batch_size, of_epoch
from tfp_cinn.data.photos import PhotoSplit
from tfp_cinn.errors import UsageError

_MIXED_PHOTOS = 16  # cropped at a time
_MIXED_BYTES = 1 << 26  # of crops shuffled at a time: 5461 of 64 x 64


def training_crops(
    split: PhotoSplit, batch_size: int, *, seed: int = 0, epoch: int | tf.Tensor | None = None
) -> tf.data.Dataset:
    """Return one epoch of random crops.

    An epoch takes floor(H W / S^2) crops of each photo of H x W pixels, enough to tile it, at
    uniformly random positions; half are mirrored. Photos come in random order, 16 at a time, and
    64 MiB of their crops are shuffled at a time.

    Everything changes every epoch, and depends only on `seed` and the epoch's number. The remainder
    that doesn't fill a batch is dropped.

    Args:
        split: the photos.
        batch_size: B, from 1 to the number of crops in an epoch.
        seed: any integer.
        epoch: see `tfp_cinn.data.training_batches`.

    Returns:
        Pairs of sRGB, float32 `[B, S, S, 3]`, S being the split's `size`, 0 to 1 in steps of 1/255,
        and a key of the batch for stateless random numbers, int64 `[2]`, unique over all epochs.

    Raises:
        UsageError: a batch below 1 or larger than an epoch.
    """
    size, total = split.size, None
    if split.shapes is not None:
        total = int((split.shapes.prod(axis=1) // size**2).sum())
    check_batch_size(batch_size, total)
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
            .batch(max(1, _MIXED_BYTES // (3 * size**2)))
            .enumerate(first + 2**31)
            .map(mix)
            .prefetch(1)
            .unbatch()
            .batch(batch_size, drop_remainder=True)
            .enumerate(first)
        )

    def cut(n: tf.Tensor, photo: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(photo, tf.int64)[:2]
        draws = tf.random.stateless_uniform(
            [tf.reduce_prod(shape) // size**2, 3], [seed, n], dtype=tf.float64, alg="philox"
        )
        corners = tf.cast(draws[:, :2] * tf.cast(shape - size + 1, tf.float64), tf.int64)
        return _cut(photo, corners, size, mirrored=draws[:, 2] < 0.5)

    def mix(n: tf.Tensor, crops: tf.Tensor) -> tf.Tensor:
        return tf.random.experimental.stateless_shuffle(crops, [seed, n], alg="philox")

    batches = of_epoch(one_epoch, epoch).map(
        lambda n, crops: (_to_unit(crops), tf.stack([-1 - seed, n]))  # the keys above are >= 0
    )
    if total is not None:
        batches = batches.apply(tf.data.experimental.assert_cardinality(total // batch_size))
    return batches.prefetch(tf.data.AUTOTUNE)


def evaluation_crops(
    split: PhotoSplit, batch_size: int, *, per_photo: int | None = None
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

    Returns:
        Pairs of crops, float32 `[<=B, S, S, 3]`, as in training, and the index of each one's photo
        in the split, int64 `[<=B]`. The last batch may be smaller.

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
        return _cut(photo, corners, size, mirrored=False), tf.fill([rows * columns], number)

    photos = split.stream(None).enumerate()
    crops = photos.map(cut, tf.data.AUTOTUNE, deterministic=True).unbatch()
    if split.shapes is not None:
        rows, columns = _grid(split.shapes, size, per_photo)
        total = tf.reduce_sum(rows * columns)
        crops = crops.apply(tf.data.experimental.assert_cardinality(total))
    batches = crops.batch(batch_size).map(lambda rgb, number: (_to_unit(rgb), number))
    return batches.prefetch(tf.data.AUTOTUNE)


def _grid(shape: tf.Tensor, size: int, per_photo: int | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Return rows and columns `[...]` of the grid of crops in photos of shape `[..., 2]`."""
    height, width = shape[..., 0], shape[..., 1]
    rows, columns = height // size, width // size
    if per_photo is None:
        return rows, columns
    square = tf.round(tf.sqrt(tf.cast(per_photo * height, tf.float64) / tf.cast(width, tf.float64)))
    rows = tf.clip_by_value(tf.cast(square, tf.int64), 1, tf.minimum(rows, per_photo))
    return rows, tf.minimum(columns, per_photo // rows)


def _cut(photo: tf.Tensor, corners: tf.Tensor, size: int, mirrored: tf.Tensor | bool) -> tf.Tensor:
    """Cut crops `[N, S, S, 3]` at corners `[N, 2]` out of a photo; mirror some, `[N]`."""
    along = tf.range(size, dtype=tf.int64)
    mirrored = tf.reshape(mirrored, [-1, 1])
    rows = corners[:, :1] + along
    columns = corners[:, 1:] + tf.where(mirrored, size - 1 - along, along)
    pixels = rows[:, :, tf.newaxis] * tf.shape(photo, tf.int64)[1] + columns[:, tf.newaxis]
    return tf.gather(tf.reshape(photo, [-1, 3]), pixels)


def _to_unit(crops: tf.Tensor) -> tf.Tensor:
    return tf.cast(crops, tf.float32) / 255.0
