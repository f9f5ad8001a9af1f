"""Conditions and seeds: what a user hands to the distribution."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn.bijectors import ConditionalBijector
from tfp_cinn.bijectors.shapes import Shape, map_shape, shape_of_one
from tfp_cinn.errors import UsageError, reason

__all__ = ["as_tensors", "build_flow", "features_shape", "refuse_strings", "stateless_seed"]


def build_flow(
    bijector: ConditionalBijector,
    event_shape: Shape,
    conditioner: keras.layers.Layer | None,
    cond_shape: Any,
) -> None:
    """Create the weights of a bijector and of the conditioner before it.

    Raises:
        UsageError: if they don't fit the shapes or each other, or one is of another kind.
    """
    if not isinstance(bijector, ConditionalBijector):
        raise UsageError(
            "bijector: expected one of this package, such as Chain([...]), got a "
            f"{type(bijector).__name__}"
        )
    bijector.build(event_shape, features_shape(conditioner, cond_shape))


def features_shape(conditioner: keras.layers.Layer | None, cond_shape: Any) -> Any:
    """Return the shape, without batch dimension, of a conditioner's features; build it.

    Raises:
        UsageError: if it is no Keras layer, takes another condition, or returns something else
            than a tensor or a dict of tensors.
    """
    if conditioner is None:
        return cond_shape
    if not isinstance(conditioner, keras.layers.Layer):
        kind = type(conditioner)
        raise UsageError(
            "conditioner: expected a Keras 3 layer or model, whose weights are trained and saved, "
            f"got a {kind.__module__}.{kind.__qualname__}; write a keras.layers.Layer around it"
        )
    if cond_shape is None:
        raise UsageError(
            "cond_shape: expected the shape of the condition, since there is a conditioner; () for "
            "a label"
        )
    with tf.init_scope():
        dummy = map_shape(
            lambda s: tf.zeros((1, *s), keras.config.floatx() if s else tf.int32), cond_shape
        )
        try:
            features = conditioner(dummy)
        except UsageError:
            raise
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise UsageError(
                f"conditioner: {conditioner.name} can't take a condition of cond_shape="
                f"{cond_shape} ({reason(error)}); correct one of the two"
            ) from error
    parts = features.values() if isinstance(features, Mapping) else [features]
    if not all(map(tf.is_tensor, parts)):
        raise UsageError(
            f"conditioner: expected {conditioner.name} to return a tensor or a dict of tensors, "
            f"got {keras.tree.map_structure(lambda f: tuple(f.shape), features)}; name the parts "
            "in a dict, and pick one for each bijector with Select"
        )
    return shape_of_one("conditioner", features, 1)


def as_tensors(cond: Any, cond_shape: Any) -> Any:
    """Convert a condition to tensors: integers where its shape is (), floats elsewhere."""
    if cond is None or isinstance(cond, Mapping) != isinstance(cond_shape, Mapping):
        return cond
    if isinstance(cond, Mapping):
        return {key: as_tensors(c, cond_shape.get(key, (1,))) for key, c in cond.items()}
    cond = tf.convert_to_tensor(cond)
    if cond.shape.rank is None:
        raise UsageError("condition: expected a tensor of known rank; use tf.ensure_shape")
    refuse_strings(cond)
    if cond_shape == () and not cond.dtype.is_integer:
        raise UsageError(f"condition: expected integer labels, got dtype {cond.dtype.name}")
    if cond_shape and not cond.dtype.is_floating:
        cond = tf.cast(cond, keras.config.floatx())
    return cond


def refuse_strings(*data: Any) -> None:
    """Raise a UsageError if arrays or tensors hold strings."""
    kinds = (tf.as_dtype(d.dtype) for d in keras.tree.flatten(data) if hasattr(d, "dtype"))
    if tf.string in kinds:
        raise UsageError("expected numbers, got strings; number classes from 0 first")


def stateless_seed(seed: Any) -> tf.Tensor | None:
    """Make a stateless seed of two integers from an integer, where TFP draws anew at each call.

    Raises:
        UsageError: if it is neither an integer from 0 to 2^63 - 1, nor two integers, nor None.
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
