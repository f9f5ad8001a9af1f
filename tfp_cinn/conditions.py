"""What the distribution is given: conditions, and seeds."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn.bijectors.shapes import map_shape
from tfp_cinn.errors import UsageError

__all__ = ["as_tensors", "features_shape", "stateless_seed"]


def features_shape(conditioner: keras.layers.Layer | None, cond_shape: Any) -> Any:
    """Shape, without batch dimension, of the features that a conditioner makes; builds it."""
    if conditioner is None:
        return cond_shape
    if cond_shape is None:
        raise UsageError(
            "cond_shape: expected the shape of the condition, since there is a conditioner; () for "
            "a label"
        )
    with tf.init_scope():
        dummy = map_shape(
            lambda s: tf.zeros((1, *s), keras.config.floatx() if s else tf.int32), cond_shape
        )
        features = conditioner(dummy)
    if isinstance(features, Mapping):
        return {key: tuple(f.shape[1:]) for key, f in features.items()}
    return tuple(features.shape[1:])


def as_tensors(cond: Any, cond_shape: Any) -> Any:
    """Converts a condition to tensors: integers where its shape is (), floats elsewhere."""
    if cond is None or isinstance(cond, Mapping) != isinstance(cond_shape, Mapping):
        return cond
    if isinstance(cond, Mapping):
        return {key: as_tensors(c, cond_shape.get(key, (1,))) for key, c in cond.items()}
    cond = tf.convert_to_tensor(cond)
    if cond.shape.rank is None:
        raise UsageError("condition: expected a tensor of known rank; use tf.ensure_shape")
    if cond_shape == () and not cond.dtype.is_integer:
        raise UsageError(f"condition: expected integer labels, got dtype {cond.dtype.name}")
    if cond_shape and not cond.dtype.is_floating:
        cond = tf.cast(cond, keras.config.floatx())
    return cond


def stateless_seed(seed: Any) -> tf.Tensor | None:
    """Makes a stateless seed of two integers from an integer, where TFP draws anew at each call.

    Args:
        seed: None (stays None), an integer from 0 to 2^63 - 1, or two integers.

    Raises:
        UsageError: if it is something else.
    """
    if seed is None:
        return None
    if tf.is_tensor(seed) or np.ndim(seed):
        seed = tf.convert_to_tensor(seed)
        if seed.dtype.is_integer and seed.shape == ():
            return tf.stack([tf.zeros_like(seed), seed])
        if seed.dtype.is_integer and seed.shape == (2,):
            return seed
        raise UsageError(f"seed: expected an integer or two, got shape {seed.shape}")
    try:
        seed = operator.index(seed)
    except TypeError:
        raise UsageError(f"seed: expected an integer, got {seed!r}") from None
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed: expected an integer from 0 to 2^63 - 1, got {seed}")
    return tf.constant(np.array([seed >> 32, seed & 0xFFFFFFFF], np.uint32).view(np.int32))
