"""Area averages."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["Size", "area_average", "dimension"]

Size = int | tf.Tensor


def dimension(x: tf.Tensor, axis: int) -> Size:
    """Return the length of an axis: an integer if it is known, else a scalar tensor."""
    static = x.shape[axis]
    return tf.shape(x)[axis] if static is None else static


def area_average(x: tf.Tensor, height: Size, width: Size) -> tf.Tensor:
    """Average over the rectangles that the pixels of a coarser grid cover.

    A pixel across a border counts on each side by the share that lies there. This equals
    `tf.image.resize(x, size, "area")`, which has no gradient, no float64 and no XLA.

    Args:
        x: `[N, H, W, C]`.
        height: rows of the result, at most H.
        width: columns of the result, at most W.

    Returns:
        `[N, height, width, C]`.
    """
    x = tf.transpose(_average_rows(x, height), [0, 2, 1, 3])
    return tf.transpose(_average_rows(x, width), [0, 2, 1, 3])


def _average_rows(x: tf.Tensor, cells: Size) -> tf.Tensor:
    batch, rows, *others = (dimension(x, axis) for axis in range(4))
    # In units where a row is `cells` long and a cell `rows`, these are exact integers.
    row = tf.range(rows)
    cell = row * cells // rows
    beyond = tf.maximum((row + 1) * cells - (cell + 1) * rows, 0)
    # A negative segment id drops the value, even where it would be NaN times 0.
    next_cell = tf.where(beyond > 0, cell + 1, -batch * cells)
    first_cell = cells * tf.range(batch)[:, tf.newaxis]
    total = 0.0
    for part, into in ((cells - beyond, cell), (beyond, next_cell)):
        weight = tf.cast(part, x.dtype) / tf.cast(rows, x.dtype)
        weighted = tf.reshape(x * weight[:, tf.newaxis, tf.newaxis], [batch * rows, *others])
        into = tf.reshape(first_cell + into, [-1])
        total += tf.math.unsorted_segment_sum(weighted, into, batch * cells)
    return tf.reshape(total, [batch, cells, *others])
