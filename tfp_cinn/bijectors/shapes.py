"""Batch dimensions of arguments and conditions: broadcast, fold into one, unfold."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfp_cinn.errors import UsageError

__all__ = [
    "Batch",
    "Parts",
    "Shape",
    "broadcast_batch",
    "condition_from_parts",
    "condition_parts",
    "fold_batch",
    "in_shards",
    "infer_cond_shape",
    "map_event_shape",
    "map_shape",
    "unfold_batch",
]

Shape = tuple[int, ...]
Parts = dict[str, tuple[tf.Tensor, int]]
"""Tensors by the name an error message gives them, each with its number of batch dimensions."""


def map_shape(function: Callable[[Shape], Any], shape: Any) -> Any:
    """Applies a function to a shape of integers, or to every shape of a dict; None stays None.

    Raises:
        UsageError: if it is something else.
    """
    if shape is None:
        return None
    if isinstance(shape, Mapping):
        if not all(isinstance(key, str) for key in shape):
            raise UsageError(f"expected strings as keys of a condition, got {list(shape)}")
        return {key: map_shape(function, part) for key, part in shape.items()}
    try:
        return function(tuple(operator.index(n) for n in shape))
    except TypeError:
        raise UsageError(
            f"expected a shape such as (), (3,) or a dict of shapes, got {shape!r}"
        ) from None


def map_event_shape(
    shape: tf.TensorShape,
    min_ndims: int,
    built: Shape | None,
    function: Callable[[Shape], Shape | None],
) -> tf.TensorShape:
    """Maps the event of a shape `[*batch, *event]` by a function, None for an unknown event.

    Args:
        shape: the shape.
        min_ndims: rank of the smallest event.
        built: shape of the event that a bijector was built for, taken where its rank fits.
        function: from event shape to event shape.
    """
    if shape.rank is None:
        return shape
    whole = built is not None and shape.rank >= len(built)
    ndims = len(built) if whole else min_ndims
    batch, event = shape[: shape.rank - ndims], shape[shape.rank - ndims :]
    if whole and not event.is_fully_defined():
        event = tf.TensorShape(built)
    return batch.concatenate(function(tuple(event)) if event.is_fully_defined() else None)


class Batch(NamedTuple):
    """A batch shape: what is known of it statically, and its value to reshape with."""

    static: tf.TensorShape
    value: tf.TensorShape | tf.Tensor


def infer_cond_shape(name: str, cond: Any, batch_ndims: int) -> Any:
    """Shape of `cond` without `batch_ndims` leading dimensions, part by part."""

    def event(c):
        shape = tuple(c.shape[batch_ndims:])
        if c.shape.rank < batch_ndims or None in shape:
            raise UsageError(
                f"{name}: can't tell the condition's event shape from cond of shape {c.shape} "
                f"beside {batch_ndims} batch dimensions; call build(event_shape, cond_shape) first"
            )
        return shape

    if isinstance(cond, Mapping):
        return {key: event(c) for key, c in cond.items()}
    return None if cond is None else event(cond)


def condition_parts(name: str, cond: Any, cond_shape: Any) -> Parts:
    """Takes a condition apart, checking it against its event shape.

    Args:
        name: who asks, for the error message.
        cond: None, a tensor `[*batch, *cond_shape]` or a dict of them.
        cond_shape: None, a shape or a dict of shapes.

    Raises:
        UsageError: if structure or shape of cond isn't that of cond_shape.
    """
    if isinstance(cond_shape, Mapping):
        given = sorted(cond) if isinstance(cond, Mapping) else type(cond).__name__
        if given != sorted(cond_shape):
            raise UsageError(
                f"{name}: expected cond to be a dict with keys {sorted(cond_shape)}, got {given}"
            )
        parts = {key: (cond[key], cond_shape[key]) for key in cond_shape}
        return {
            f"cond[{key!r}]": (c, _batch_ndims(name, f"cond[{key!r}]", c, shape))
            for key, (c, shape) in parts.items()
        }
    if cond_shape is None:
        if cond is not None:
            raise UsageError(f"{name}: has no condition, but was given one")
        return {}
    if cond is None or isinstance(cond, Mapping):
        raise UsageError(
            f"{name}: expected cond of shape {_shape_text(cond_shape)}, got "
            f"{'none' if cond is None else 'a dict (pick an entry with Select)'}"
        )
    return {"cond": (cond, _batch_ndims(name, "cond", cond, cond_shape))}


def condition_from_parts(tensors: Mapping[str, tf.Tensor], cond_shape: Any) -> Any:
    """Puts the tensors of `condition_parts` together again."""
    if isinstance(cond_shape, Mapping):
        return {key: tensors[f"cond[{key!r}]"] for key in cond_shape}
    return tensors.get("cond")


def broadcast_batch(name: str, parts: Parts) -> tuple[dict[str, tf.Tensor], Batch]:
    """Broadcasts the batch dimensions of several tensors against each other.

    Batches of one dimension each, all of unknown size, are taken to be equal.

    Args:
        name: who asks, for the error message.
        parts: the tensors.

    Returns:
        The tensors, all of the common batch shape, and that shape.

    Raises:
        UsageError: if the batch shapes don't broadcast.
    """
    shapes = {part: t.shape[:ndims] for part, (t, ndims) in parts.items()}
    try:
        static = functools.reduce(tf.broadcast_static_shape, shapes.values(), tf.TensorShape([]))
    except ValueError:
        given = " and ".join(f"{part} {tuple(shape)}" for part, shape in shapes.items())
        raise UsageError(f"{name}: the batch shapes of {given} don't broadcast") from None
    same = static.rank == 1 and all(s.as_list() == static.as_list() for s in shapes.values())
    value = static
    if not static.is_fully_defined():
        dynamic = [tf.shape(t)[:ndims] for t, ndims in parts.values()]
        value = dynamic[0] if same else functools.reduce(tf.broadcast_dynamic_shape, dynamic)
    batch = Batch(static, value)
    if same:
        return {part: t for part, (t, _) in parts.items()}, batch
    return {part: _broadcast(t, ndims, batch) for part, (t, ndims) in parts.items()}, batch


def _batch_ndims(name: str, part: str, t: tf.Tensor, event_shape: Shape) -> int:
    ndims = -1 if t.shape.rank is None else t.shape.rank - len(event_shape)
    if ndims < 0 or not t.shape[ndims:].is_compatible_with(event_shape):
        raise UsageError(
            f"{name}: expected {part} of shape {_shape_text(event_shape)}, got {t.shape}"
        )
    return ndims


def _shape_text(event_shape: Shape) -> str:
    return f"[{', '.join(['...', *map(str, event_shape)])}]"


def _broadcast(t: tf.Tensor, ndims: int, batch: Batch) -> tf.Tensor:
    if batch.static.is_fully_defined() and t.shape[:ndims] == batch.static:
        return t
    event = t.shape[ndims:]
    # Broadcasting aligns to the right: bring in the missing batch dimensions first.
    t = tf.reshape(t, tf.concat([[1] * (batch.static.rank - ndims), tf.shape(t)], axis=0))
    t = tf.broadcast_to(t, tf.concat([batch.value, tf.shape(t)[batch.static.rank :]], axis=0))
    return tf.ensure_shape(t, batch.static.concatenate(event))


def fold_batch(t: tf.Tensor, batch: Batch) -> tf.Tensor:
    """Folds the leading batch dimensions of t into one: `[*batch, ...]` to `[N, ...]`."""
    if batch.static.rank == 1:
        return t
    return tf.reshape(t, [-1, *t.shape[batch.static.rank :]])


def unfold_batch(t: tf.Tensor, batch: Batch) -> tf.Tensor:
    """Undoes `fold_batch`: `[N, ...]` to `[*batch, ...]`."""
    if batch.static.rank == 1:
        return t
    event = t.shape[1:]
    shape = tf.concat([batch.value, tf.constant(event.as_list(), tf.int32)], axis=0)
    return tf.ensure_shape(tf.reshape(t, shape), batch.static.concatenate(event))


def in_shards(
    run: Callable[[tf.Tensor, Any], tuple[tf.Tensor, tf.Tensor]],
    value: tf.Tensor,
    cond: Any,
    shards: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Runs a pass on parts of a batch, and puts their outputs and log-determinants together.

    Args:
        run: the pass, of a tensor and a condition of one batch dimension.
        value: `[N, ...]`.
        cond: its condition: None, a tensor `[N, ...]` or a dict of them.
        shards: number of parts, of N / shards rows each, rounded; some may be empty.
    """
    if shards == 1:
        return run(value, cond)
    rows = value.shape[0] or tf.shape(value)[0]
    bounds = [rows * k // shards for k in range(shards + 1)]

    def part(a, b):
        return run(value[a:b], keras.tree.map_structure(lambda c: c[a:b], cond))

    outputs, log_dets = zip(*(part(*ends) for ends in itertools.pairwise(bounds)), strict=True)
    return tf.concat(outputs, axis=0), tf.concat(log_dets, axis=0)
