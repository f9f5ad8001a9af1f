"""Latents with a seed for each row."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

__all__ = ["noise"]


def noise(seeds: tf.Tensor, shape: Sequence[int], dtype: str) -> tf.Tensor:
    """Draw standard normal noise, `[N, *shape]`, each row from its own seed.

    A single operation with one seed would be faster, but a row's noise would depend on the rest of
    its batch. Seeds are int32 `[N, 2]`, `shape` that of one row.
    """
    return tf.map_fn(
        # Name the algorithm, since the default differs between devices.
        lambda seed: tf.random.stateless_normal(shape, seed, dtype=dtype, alg="philox"),
        seeds,
        fn_output_signature=tf.TensorSpec(shape, dtype),
    )
