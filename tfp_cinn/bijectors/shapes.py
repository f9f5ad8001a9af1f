"""Batch dimensions of arguments and conditions: broadcast, fold into one, unfold."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfp_cinn.errors import UsageError

__all__ = [
    "Batch",
    "Parts",
    "Shape",
    "condition_parts",
    "fold",
    "in_shards",
    "leaves",
    "map_event_shape",
    "map_shape",
    "shape_of_one",
    "spoil",
    "sum_event",
]

Shape = tuple[int, ...]
Parts = dict[str, tuple[tf.Tensor, int]]
"""Tensors by the name an error message gives them, each with its number of batch dimensions."""


def map_shape(function: Callable[[Shape], Any], shape: Any) -> Any:
    """Apply a function to a shape of integers, or to every shape of a dict; None stays None.

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
            "expected a shape of whole numbers without batch dimension, such as (), (3,) or a dict "
            f"of shapes, got {shape!r}"
        ) from None


def map_event_shape(
    shape: tf.TensorShape,
    min_ndims: int,
    built: Shape | None,
    function: Callable[[Shape], Shape | None],
) -> tf.TensorShape:
    """Map the event of a shape `[*batch, *event]` by a function, which may return None.

    The event has the rank of `built`, the event that a bijector was built for, if there is one and
    the shape has that many dimensions; else `min_ndims`.
    """
    if shape.rank is None:
        return shape
    whole = built is not None and shape.rank >= len(built)
    ndims = len(built) if whole else min_ndims
    batch, event = shape[: shape.rank - ndims], shape[shape.rank - ndims :]
    if whole and not event.is_fully_defined():
        event = tf.TensorShape(built)
    return batch.concatenate(function(tuple(event)) if event.is_fully_defined() else None)


def shape_of_one(owner: str, cond: Any, batch_ndims: int) -> Any:
    """Return the shape of `cond` without its leading batch dimensions, part by part."""
    if isinstance(cond, Mapping):
        return {key: shape_of_one(owner, c, batch_ndims) for key, c in cond.items()}
    if cond is None:
        return None
    shape = tuple(cond.shape[batch_ndims:])
    if cond.shape.rank < batch_ndims or None in shape:
        raise UsageError(
            f"{owner}: can't tell the condition's event shape from cond of shape {cond.shape} "
            f"beside {batch_ndims} batch dimensions; call build(event_shape, cond_shape) first"
        )
    return shape


def leaves(cond: Any) -> list[tf.Tensor]:
    """List the tensors of a condition, those of a dict in the order of its sorted keys."""
    return [] if cond is None else tf.nest.flatten(cond)


def condition_parts(owner: str, cond: Any, cond_shape: Any) -> Parts:
    """Name the tensors of a condition, in the order of `leaves`.

    Raises:
        UsageError: if structure or shape of cond isn't that of cond_shape, for `owner`.
    """
    if cond_shape is None:
        if cond is not None:
            raise UsageError(f"{owner}: has no condition, but was given one")
        return {}
    given = {"cond": (cond, cond_shape)}
    if isinstance(cond_shape, Mapping):
        keys = sorted(cond_shape)
        got = sorted(cond) if isinstance(cond, Mapping) else type(cond).__name__
        if got != keys:
            raise UsageError(f"{owner}: expected cond to be a dict with keys {keys}, got {got}")
        given = {f"cond[{key!r}]": (cond[key], cond_shape[key]) for key in keys}
    parts = {}
    for name, (t, shape) in given.items():
        got = "none" if t is None else "a dict (pick an entry with Select)"
        ndims = -1
        if tf.is_tensor(t):
            got = t.shape
            ndims = -1 if got.rank is None else got.rank - len(shape)
        if ndims < 0 or not got[ndims:].is_compatible_with(shape):
            expected = ", ".join(["...", *map(str, shape)])
            raise UsageError(f"{owner}: expected {name} of shape [{expected}], got {got}")
        parts[name] = t, ndims
    return parts


class Batch(NamedTuple):
    """A batch shape: what is known of it statically, and its value."""

    static: tf.TensorShape
    value: tf.TensorShape | tf.Tensor

    def unfold(self, t: tf.Tensor) -> tf.Tensor:
        """Undo `fold`: `[N, ...]` to `[*batch, ...]`."""
        if self.static.rank == 1:
            return t
        event = t.shape[1:]
        shape = tf.concat([self.value, tf.constant(event.as_list(), tf.int32)], axis=0)
        return tf.ensure_shape(tf.reshape(t, shape), self.static.concatenate(event))


def fold(owner: str, parts: Parts) -> tuple[list[tf.Tensor], Batch]:
    """Broadcast the batch dimensions of tensors against each other, and fold them into one.

    Batches of one dimension each, all of unknown size, are taken to be equal.

    Returns:
        The tensors as `[N, *event]`, and their common batch shape.

    Raises:
        UsageError: if the batch shapes don't broadcast, for `owner`.
    """
    shapes = {name: t.shape[:ndims] for name, (t, ndims) in parts.items()}
    try:
        static = functools.reduce(tf.broadcast_static_shape, shapes.values(), tf.TensorShape([]))
    except ValueError:
        given = " and ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
        raise UsageError(f"{owner}: the batch shapes of {given} don't broadcast") from None
    equal = static.rank == 1 and all(s.as_list() == static.as_list() for s in shapes.values())
    value = static
    if not static.is_fully_defined():
        dynamic = (tf.shape(t)[:ndims] for t, ndims in parts.values())
        value = next(dynamic) if equal else functools.reduce(tf.broadcast_dynamic_shape, dynamic)
    batch = Batch(static, value)
    if equal:
        return [t for t, _ in parts.values()], batch
    return [_broadcast_and_fold(t, ndims, batch) for t, ndims in parts.values()], batch


def _broadcast_and_fold(t: tf.Tensor, ndims: int, batch: Batch) -> tf.Tensor:
    rank, event = batch.static.rank, t.shape[ndims:]
    if not (batch.static.is_fully_defined() and t.shape[:ndims] == batch.static):
        # Broadcasting aligns to the right: bring in the missing batch dimensions first.
        t = tf.reshape(t, tf.concat([[1] * (rank - ndims), tf.shape(t)], axis=0))
        t = tf.broadcast_to(t, tf.concat([batch.value, tf.shape(t)[rank:]], axis=0))
    if rank == 1:
        return tf.ensure_shape(t, batch.static.concatenate(event))
    return tf.reshape(t, [-1, *event])


def spoil(outputs: Any, inputs: Sequence[tf.Tensor]) -> Any:
    """Make the rows `[N, ...]` of outputs NaN whose inputs aren't finite.

    On a CPU, TensorFlow's fused MatMul, BiasAdd and Relu turns NaN into 0, so that a bad row would
    give a good-looking output. Integers, such as labels, are left to whom they are given.
    """
    floats = [tf.stop_gradient(t) for t in inputs if t.dtype.is_floating]
    if not floats:
        return outputs
    bad = functools.reduce(tf.add, [tf.cast(sum_event(t * 0), tf.float32) for t in floats])

    def add(t):
        rows = tf.cast(bad, t.dtype)
        if t.shape.rank > 1:
            rows = tf.reshape(rows, [-1] + [1] * (t.shape.rank - 1))
        return t + rows

    return tf.nest.map_structure(add, outputs)


def sum_event(t: tf.Tensor) -> tf.Tensor:
    """Sum over all dimensions but the first."""
    return tf.reduce_sum(t, axis=list(range(1, t.shape.rank)))


def in_shards(
    run: Callable[[tf.Tensor, Any], tuple[tf.Tensor, tf.Tensor]],
    value: tf.Tensor,
    cond: Any,
    shards: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Run a pass on parts of a batch, and put their outputs and log-determinants together.

    Each part has N / shards rows, rounded; some may be empty.
    """
    if shards == 1:
        return run(value, cond)
    rows = value.shape[0] or tf.shape(value)[0]
    bounds = [rows * k // shards for k in range(shards + 1)]

    def part(a, b):
        return run(value[a:b], tf.nest.map_structure(lambda c: c if c is None else c[a:b], cond))

    outputs, log_dets = zip(*(part(*ends) for ends in itertools.pairwise(bounds)), strict=True)
    return tf.concat(outputs, axis=0), tf.concat(log_dets, axis=0)
