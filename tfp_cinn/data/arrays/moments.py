"""One pass over all rows: what is wrong with them, and their moments."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tfp_cinn.data.arrays.pairs import MASK, Pairs, is_label
from tfp_cinn.errors import UsageError

__all__ = ["examine"]


@dataclasses.dataclass
class _Moments:
    """Count, mean and sum of squared deviations by entry of the last axis; NaN doesn't count."""

    count: Any = 0
    mean: Any = 0.0
    squares: Any = 0.0

    def add(self, values: np.ndarray) -> None:
        """Merge a chunk (Chan, Golub and LeVeque 1979)."""
        values = values.reshape(-1, values.shape[-1]).astype(np.float64)
        missing = np.isnan(values)
        count = len(values) - missing.sum(0)
        mean = np.nansum(values, 0) / np.maximum(count, 1)
        values -= mean
        values[missing] = 0.0
        squares = np.einsum("ij,ij->j", values, values)
        total = np.maximum(self.count + count, 1)
        delta = mean - self.mean
        self.squares = self.squares + squares + delta**2 * self.count * count / total
        self.mean = self.mean + delta * count / total
        self.count = self.count + count

    def std(self, name: Callable[[int], str], source: str) -> np.ndarray:
        std = np.sqrt(self.squares / np.maximum(self.count, 1))
        # Below float32's precision: there constant as well.
        flat = np.flatnonzero(std <= 1e-7 * np.abs(self.mean))
        if len(flat):
            raise UsageError(
                f"{source}: {name(flat[0])} is constant ({self.mean[flat[0]]:g}) in the training "
                "rows, expected values that vary; leave it out"
            )
        return std


def examine(
    chunks: Iterable[tuple[int, dict[str, np.ndarray], np.ndarray | None]],
    pairs: Pairs,
    bounds: tuple[Any, Any] | None = None,
    unbounded: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, dict[str, Any]]:
    """Check rows and take the moments of those to train on, chunk by chunk.

    Args:
        chunks: number of the first row, x and parts by name, and which rows to train on (all if
            None). Entries that a mask leaves out are zero.
        pairs: names of columns, classes and the file, for messages.
        bounds: low and high of x.
        unbounded: what x is mapped by before its moments are taken.

    Returns:
        For x and each part `shape`, and `mean` and `std` by entry of the last axis; for a label
        `num_classes`; `mask` is "set" or "entries" where there is one, `set` true for the former.

    Raises:
        UsageError: if a value is NaN or infinite, out of the bounds, not a class, or an entry
            never varies; with file, row and column.
    """
    moments: dict[str, _Moments] = {}
    facts: dict[str, dict[str, Any]] = {}
    for start, values, training in chunks:
        for name, value in values.items():
            check_values(name, value, pairs, start, bounds if name == "x" else None)
            if name.endswith(MASK):
                continue
            fact = facts.setdefault(name, {"shape": list(value.shape[1:])})
            if name != "x" and is_label(value):
                known = len(pairs.categories.get(name, ()))
                most = max(fact.get("num_classes", known), int(value.max(initial=0)) + 1)
                fact["num_classes"] = most
                continue
            mask = values.get(f"{name}{MASK}")
            if mask is not None:
                points = mask.ndim < value.ndim
                fact |= {"mask": "set", "set": True} if points else {"mask": "entries"}
                value = np.where((mask[..., np.newaxis] if points else mask) > 0, value, np.nan)
            if name == "x" and unbounded is not None:
                value = unbounded(value)
            value = value if training is None else value[training]
            moments.setdefault(name, _Moments()).add(value)
    for name, moment in moments.items():
        std = moment.std(lambda i, name=name: entry(pairs, name, (i,)), pairs.source)
        facts[name] |= {"mean": np.asarray(moment.mean).tolist(), "std": std.tolist()}
    return facts


def check_values(
    name: str,
    value: np.ndarray,
    pairs: Pairs,
    start: int = 0,
    bounds: tuple[Any, Any] | None = None,
) -> None:
    """Refuse a NaN, an infinity, a negative class, or a value out of bounds, by its place."""
    bad = value < 0 if value.dtype.kind == "i" else ~np.isfinite(value)
    hint = "a class number from 0 on" if value.dtype.kind == "i" else "a finite number"
    if name != "x" and not name.endswith(MASK) and value.dtype.kind == "f":
        hint += "; for missing entries of the condition set data.missing=True"
    if bounds is not None and not bad.any():
        low, high = np.asarray(_open(bounds[0], -1)), np.asarray(_open(bounds[1], 1))
        bad = (value <= low) | (value >= high)
        hint = f"a value between the bounds {low.tolist()} and {high.tolist()}"
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise UsageError(
            f"{pairs.source}: row {start + place[0]}, {entry(pairs, name, place[1:])} is "
            f"{value[place]:g}, expected {hint}"
        )


def entry(pairs: Pairs, name: str, place: Sequence[int]) -> str:
    """Return what messages call an entry of x or of a part."""
    names = pairs.columns.get(name)
    if names and place:
        return f"column {names[place[-1]]}"
    return name if not place else f"{name}[{', '.join(map(str, place))}]"


def _open(side: Any, sign: int) -> Any:
    if isinstance(side, (list, tuple)):
        return [_open(each, sign) for each in side]
    return sign * np.inf if side is None else side
