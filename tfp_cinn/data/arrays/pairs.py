"""x and the parts of c, row by row."""

from __future__ import annotations

import dataclasses
import mmap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfp_cinn.errors import UsageError

__all__ = ["MASK", "Pairs", "as_parts", "fill"]

# Reading a row at random can map 2 MB of the file around it: give pages back after so many rows.
_MAPPED_ROWS = 8

MASK = "_mask"
"""Ending of the name of a part that says which entries of another part are there (1) or not (0)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Arrays of as many rows each; memory maps stay on the disk.

    A part of the condition of integers `[N]` is a label, one of floats `[N]` becomes `[N, 1]`, as x
    does. `NAME_mask` beside `NAME` says which points of a set are there, `[N, M]` for `[N, M, D]`.

    Attributes:
        x: numbers `[N, ...]`.
        cond: the parts by name; empty for no condition. One part that is called "cond" is handed to
            the flow as a tensor, others as a dict.
        source: file that the rows came from, for messages.
        columns: names of the last axis' entries, of "x" and of each part, where they have some.
        categories: what each class of a label is called, by part.

    Raises:
        UsageError: if they differ in length, are empty, or hold something else than numbers.
    """

    x: np.ndarray
    cond: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    source: str = "the arrays"
    columns: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    categories: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        parts = {"x": self.x, **self.cond}
        for name, values in parts.items():
            if values.dtype.kind not in "biuf":
                raise UsageError(
                    f"{self.source}: {name} holds {values.dtype.name} values, expected numbers; "
                    "convert it, text to class numbers"
                )
            if not values.ndim or not all(values.shape):
                raise UsageError(
                    f"{self.source}: {name} has shape {values.shape}, expected at least one row "
                    "and one column"
                )
        if len({len(values) for values in parts.values()}) > 1:
            raise UsageError(
                f"{self.source}: expected as many rows of x as of the condition, got "
                + ", ".join(f"{len(values)} of {name}" for name, values in parts.items())
            )
        shaped = {name: _columns(name, values) for name, values in parts.items()}
        object.__setattr__(self, "x", shaped.pop("x"))
        object.__setattr__(self, "cond", shaped)
        for name, values in shaped.items():
            of = name.removesuffix(MASK)
            if of != name and (of not in shaped or values.shape != shaped[of].shape[:-1]):
                raise UsageError(
                    f"{self.source}: {name} has shape {values.shape}, expected {of} of shape "
                    f"{(*values.shape, 'D')} beside it"
                )

    def __len__(self):
        return len(self.x)

    def take(self, rows: np.ndarray | slice, missing: bool = False) -> dict[str, np.ndarray]:
        """Copy rows, x and the parts by name; of memory maps no page is kept in memory.

        Args:
            rows: their numbers.
            missing: see `fill`.
        """
        taken = {}
        for name, values in {"x": self.x, **self.cond}.items():
            label = name != "x" and is_label(values)
            taken[name] = _copied(values, rows, np.int32 if label else np.float32)
        return fill(taken, missing)


def fill(parts: dict[str, Any], missing: bool) -> dict[str, Any]:
    """Put zeros where a mask has them and, if `missing`, where a value is NaN, with a mask of it.

    Args:
        parts: x and the parts of the condition, by name.
        missing: whether each part of values has a mask of its entries.
    """
    filled = dict(parts)
    for name, values in parts.items():
        if name == "x" or name.endswith(MASK) or is_label(values):
            continue
        if f"{name}{MASK}" in parts:
            there = parts[f"{name}{MASK}"][..., np.newaxis] > 0
            filled[name] = np.where(there, values, np.zeros((), values.dtype))
        elif missing:
            there = ~np.isnan(values)
            filled[name] = np.where(there, values, np.zeros((), values.dtype))
            filled[f"{name}{MASK}"] = there.astype(values.dtype)
    return filled


def as_parts(cond: Any) -> dict[str, np.ndarray]:
    """Return the parts by name of a condition: an array, several by name, or None."""
    if cond is None:
        return {}
    parts = cond if isinstance(cond, Mapping) else {"cond": cond}
    return {name: np.asanyarray(values) for name, values in parts.items()}


def is_label(values: np.ndarray) -> bool:
    """Return whether a part, `[N, ...]`, is a class number a row."""
    return values.ndim == 1


def _columns(name: str, values: np.ndarray) -> np.ndarray:
    if values.ndim == 1 and (name == "x" or values.dtype.kind == "f"):
        return values[:, np.newaxis]
    return values


def _copied(values: np.ndarray, rows: np.ndarray | slice, dtype: type) -> np.ndarray:
    # Of a copy-on-write map, giving pages back would throw away what was written.
    if not isinstance(values, np.memmap) or values.mode == "c":
        return np.array(values[rows], dtype)
    if isinstance(rows, slice):
        blocks = [rows]
    else:
        blocks = np.array_split(rows, max(1, len(rows) // _MAPPED_ROWS))
    copied = []
    for block in blocks:
        copied.append(np.array(values[block], dtype))
        values._mmap.madvise(mmap.MADV_DONTNEED)
    return np.concatenate(copied)
