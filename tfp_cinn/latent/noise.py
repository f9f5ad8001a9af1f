"""Latents with a seed for each row."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

__all__ = ["noise"]

_LOW = 0xFFFFFFFF  # the lower half of 64 bits


def noise(seeds: tf.Tensor, shape: Sequence[int], dtype: str) -> tf.Tensor:
    """Draw standard normal noise, `[N, *shape]`, each row from its own seed.

    A row is `tf.random.stateless_normal(shape, seed, alg="philox")` in float32, up to rounding.
    That operation takes one seed, gives other numbers under XLA and doesn't exist outside
    TensorFlow; this one is made of integer operations, with the same result everywhere.

    Seeds are int32 `[N, 2]`, `shape` is that of one row.
    """
    size = math.prod(shape)
    # Scramble the seeds as TensorFlow does.
    words = tf.bitcast(tf.cast(seeds[:, :, None], tf.int64), tf.uint64)
    words = tf.concat([words & _LOW, _high(words)], axis=2)
    words = tf.reshape(words, [-1, 4, 1])
    key = [tf.constant(word, tf.uint64) for word in (0x3EC8F720, 0x02461E29)]
    key0, key1, *stream = _philox([words[:, k] for k in range(4)], key)
    block = tf.range(-(-size // 4), dtype=tf.int64)[None]
    block = tf.bitcast(block, tf.uint64) + tf.zeros_like(key0)
    bits = tf.stack(_philox([block, tf.zeros_like(block), *stream], [key0, key1]), axis=2)
    # The Box-Muller transform of 23 bits each.
    uniform = tf.cast(tf.bitcast(bits & 0x7FFFFF, tf.int64), tf.float32) / 2**23
    radius = tf.sqrt(-2 * tf.math.log(tf.maximum(uniform[..., ::2], 1e-7)))
    angle = 2 * math.pi * uniform[..., 1::2]
    normal = tf.stack([radius * tf.sin(angle), radius * tf.cos(angle)], axis=3)
    rows = tf.reshape(normal, [-1, 4 * block.shape[1]])[:, :size]
    return tf.cast(tf.reshape(rows, [-1, *shape]), dtype)


def _philox(counter: list[tf.Tensor], key: list[tf.Tensor]) -> list[tf.Tensor]:
    """Return four random words for each counter: Philox4x32-10.

    Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11.

    Args:
        counter: four tensors of 32-bit words as uint64, of shapes that broadcast.
        key: two.
    """
    (a, b, c, d), (k, m) = counter, key
    for _ in range(10):
        p, q = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = _high(q) ^ b ^ k, q & _LOW, _high(p) ^ d ^ m, p & _LOW
        k, m = (k + 0x9E3779B9) & _LOW, (m + 0xBB67AE85) & _LOW
    return [a, b, c, d]


def _high(word: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.right_shift(word, tf.constant(32, tf.uint64))
