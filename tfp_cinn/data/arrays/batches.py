"""Batches of pairs (x, c): of rows, of a simulator, of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn.data.arrays.pairs import Pairs, as_parts
from tfp_cinn.errors import UsageError

__all__ = ["Rows", "Simulation", "Stream", "in_split", "shuffled"]

_CHUNK_BYTES = 2 << 20  # as float64, which stay in a cache
_WORD = np.uint64(0xFFFFFFFFFFFFFFFF)


class Rows:
    """Some rows of arrays, which may be memory maps.

    Args:
        pairs: the arrays.
        rows: numbers of the rows, rising; all if None.
        missing: whether NaN in a condition is a missing entry; see `fill`.
    """

    def __init__(self, pairs: Pairs, rows: np.ndarray | None = None, missing: bool = False):
        self.pairs, self.missing = pairs, missing
        self._rows = rows

    def __len__(self):
        return len(self.pairs) if self._rows is None else len(self._rows)

    def take(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Copy x and the parts of the condition by name, at positions among these rows."""
        rows = positions if self._rows is None else self._rows[positions]
        return self.pairs.take(rows, self.missing)

    def chunks(self) -> Iterator[tuple[int, dict[str, np.ndarray], np.ndarray | None]]:
        """Yield all rows of the arrays in order, and which of them are these; see `examine`."""
        arrays = (self.pairs.x, *self.pairs.cond.values())
        width = sum(a[:1].size * 8 for a in arrays)
        step = max(1, _CHUNK_BYTES // width)
        for start in range(0, len(self.pairs), step):
            stop = min(start + step, len(self.pairs))
            training = None
            if self._rows is not None:
                first, last = np.searchsorted(self._rows, (start, stop))
                training = self._rows[first:last] - start
            yield start, self.pairs.take(slice(start, stop), self.missing), training

    def batches(self, batch_size: int, seed: int = 0, epoch: Any = None) -> tf.data.Dataset:
        """Return the batches (x, cond) of an epoch, shuffled, or in order if `epoch` is None.

        Order is a function of `seed` and `epoch`, without a list of it. What doesn't fill a batch
        of an epoch is dropped.

        Raises:
            UsageError: if an epoch has no batch.
        """
        count = len(self)
        if batch_size < 1 or (epoch is not None and batch_size > count):
            raise UsageError(
                f"batch_size is {batch_size}, expected 1 to the {count} rows there are"
            )

        def positions(batch, epoch):
            order = np.arange(batch * batch_size, min((batch + 1) * batch_size, count))
            return order if epoch < 0 else shuffled(order, count, (seed, int(epoch)))

        number = count // batch_size if epoch is not None else -(-count // batch_size)
        return _mapped(
            number,
            lambda batch, epoch: self.take(positions(batch, epoch)),
            epoch,
            self.take(np.arange(1)),
        )


class Simulation:
    """Pairs of a simulator, new ones in every batch.

    Args:
        simulate: `simulate(num, seed) -> (x, cond)`, or x alone; arrays of `num` rows, a function
            of the seed, an integer.
        num: rows that count as an epoch.
        missing: see `Rows`.
    """

    def __init__(self, simulate: Callable[[int, int], Any], num: int, missing: bool = False):
        self._simulate, self._num, self.missing = simulate, num, missing
        self.pairs = self._draw(min(num, 64), (0,))

    def __len__(self):
        return self._num

    def _draw(self, num: int, key: tuple[int, ...]) -> Pairs:
        seed = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:4], "little") >> 1
        drawn = self._simulate(num, seed)
        x, cond = drawn if isinstance(drawn, tuple) else (drawn, None)
        pairs = Pairs(np.asarray(x), as_parts(cond), "the simulator")
        if len(pairs) != num:
            raise UsageError(f"the simulator: expected {num} rows, got {len(pairs)}")
        return pairs

    def chunks(self) -> Iterator[tuple[int, dict[str, np.ndarray], None]]:
        """Yield as many pairs as an epoch has, up to 20,000; see `examine`."""
        yield 0, self._draw(min(self._num, 20_000), (1,)).take(slice(None), self.missing), None

    def batches(self, batch_size: int, seed: int = 0, epoch: Any = None) -> tf.data.Dataset:
        """Return batches (x, cond) drawn for this epoch, or always the same if `epoch` is None."""

        def draw(batch, epoch):
            pairs = self._draw(batch_size, (2, seed, int(epoch), int(batch)))
            return pairs.take(slice(None), self.missing)

        number = max(1, self._num // batch_size)
        return _mapped(number, draw, epoch, self.pairs.take(slice(0, 1), self.missing))


class Stream:
    """A user's own `tf.data.Dataset` of single pairs (x, cond), or of x alone.

    Args:
        dataset: gives the same pairs at each iteration.
        missing: see `Rows`.
        buffer: pairs that the shuffling holds.
    """

    def __init__(self, dataset: tf.data.Dataset, missing: bool = False, buffer: int = 10_000):
        self._dataset, self.missing, self._buffer = dataset, missing, buffer
        first = next(iter(dataset.batch(1)), None)
        if first is None:
            raise UsageError("the data set: expected at least one pair (x, cond), got none")
        self.pairs = self._pairs(first)

    def __len__(self):
        return max(0, int(self._dataset.cardinality()))

    def _pairs(self, batch: Any) -> Pairs:
        x, cond = batch if isinstance(batch, tuple) else (batch, None)
        cond = tf.nest.map_structure(lambda t: t.numpy(), cond)
        return Pairs(x.numpy(), as_parts(cond), "the data set")

    def chunks(self) -> Iterator[tuple[int, dict[str, np.ndarray], None]]:
        """Yield all pairs in order; see `examine`."""
        start = 0
        for batch in self._dataset.batch(1024):
            pairs = self._pairs(batch)
            yield start, pairs.take(slice(None), self.missing), None
            start += len(pairs)

    def batches(self, batch_size: int, seed: int = 0, epoch: Any = None) -> tf.data.Dataset:
        """Return an epoch's batches (x, cond), shuffled within the buffer; in order if None."""
        dataset = self._dataset
        if epoch is not None:
            key = tf.stack([tf.constant(seed % (1 << 63), tf.int64), tf.cast(epoch, tf.int64)])

            def shuffle(number, block):
                first = tf.nest.flatten(block)[0]
                order = tf.random.experimental.stateless_shuffle(
                    tf.range(tf.shape(first)[0]), key + [0, number * 2**32]
                )
                return tf.nest.map_structure(lambda part: tf.gather(part, order), block)

            dataset = dataset.batch(self._buffer).enumerate().map(shuffle).unbatch()
        batches = dataset.batch(batch_size, drop_remainder=epoch is not None)
        names = list(self.pairs.cond)

        def shaped(*flat):
            arrays = [flat[0], *flat[1:]]
            x, cond = arrays[0], dict(zip(names, arrays[1:], strict=True))
            return Pairs(x, cond, "the data set").take(slice(None), self.missing)

        example = self.pairs.take(slice(0, 1), self.missing)

        def convert(*pair):
            return _call(shaped, tf.nest.flatten(_ordered(pair, names)), example)

        return batches.map(convert).prefetch(tf.data.AUTOTUNE)


def _ordered(pair, names):
    cond = pair[1] if len(pair) > 1 else {}
    return [pair[0], *([cond[n] for n in names] if isinstance(cond, dict) else [cond])]


def structured(parts: dict[str, Any]) -> Any:
    """Return the condition that the flow is given: None, one tensor, or a dict."""
    cond = {name: value for name, value in parts.items() if name != "x"}
    return cond["cond"] if list(cond) == ["cond"] else cond or None


def in_split(rows: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return which rows lie in the fraction [low, high) of all; only their numbers decide."""
    places = (_mixed(rows.astype(np.uint64), 0) >> np.uint64(11)) * 2.0**-53
    return (places >= low) & (places < high)


def shuffled(positions: np.ndarray, count: int, key: tuple[int, int]) -> np.ndarray:
    """Return where a random permutation of 0 .. count - 1 takes positions, without a table of it.

    A Feistel network on the next power of four, walked until it lands below `count`.

    Args:
        positions: integers.
        count: their number in all.
        key: chooses the permutation.
    """
    half = np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))
    low = (np.uint64(1) << half) - np.uint64(1)
    digest = hashlib.sha256(repr(key).encode()).digest()
    keys = np.frombuffer(digest, np.uint64)
    result = np.asarray(positions).astype(np.uint64)
    outside = np.ones(result.shape, bool)
    while outside.any():
        left, right = result[outside] >> half, result[outside] & low
        for round_key in (*keys, *(keys ^ _WORD)):
            left, right = right, left ^ (_mixed(right, round_key) & low)
        result[outside] = left << half | right
        outside = result >= count
    return result.astype(np.int64)


def _mixed(values: np.ndarray, key: int | np.uint64) -> np.ndarray:
    """Return SplitMix64's finalizer (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        values = (values ^ np.uint64(key)) + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def _mapped(number: int, draw: Callable, epoch: Any, example: dict) -> tf.data.Dataset:
    epoch = tf.constant(-1, tf.int64) if epoch is None else tf.cast(epoch, tf.int64)
    return (
        tf.data.Dataset.range(number)
        .map(lambda batch: _call(draw, [batch, epoch], example))
        .prefetch(tf.data.AUTOTUNE)
    )


def _call(function: Callable, inputs: list, example: dict[str, np.ndarray]):
    """Run a function of arrays in a data set; return x, or (x, cond)."""
    names = list(example)
    flat = tf.numpy_function(
        lambda *arrays: [function(*arrays)[name] for name in names],
        inputs,
        [tf.as_dtype(value.dtype) for value in example.values()],
    )
    parts = {}
    for name, tensor in zip(names, flat, strict=True):
        parts[name] = tf.ensure_shape(tensor, (None, *example[name].shape[1:]))
    cond = structured(parts)
    return parts["x"] if cond is None else (parts["x"], cond)
