"""Conditions to sample for, and rows beside those that were trained on."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfp_cinn.data.arrays import Pairs, read_csv
from tfp_cinn.data.arrays.batches import structured
from tfp_cinn.data.arrays.files import read_conditions as read_arrays
from tfp_cinn.data.arrays.moments import check_values
from tfp_cinn.data.arrays.pairs import MASK
from tfp_cinn.errors import UsageError

__all__ = ["check_alike", "read_conditions", "shapes"]


def shapes(description: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of x, of each part of the condition, and of each mask."""
    found = {"x": tuple(description["x"]["shape"])}
    for name, part in description["cond"].items():
        found[name] = tuple(part["shape"])
        if "mask" in part:
            found[name + MASK] = found[name][: -1 if part["mask"] == "set" else None]
    return found


def check_alike(
    values: Mapping[str, np.ndarray], pairs: Pairs, description: Mapping[str, Any], start: int = 0
) -> None:
    """Refuse rows that differ from those trained on, or that training would have refused.

    Args:
        values: x and the parts of the condition by name, or the latter alone.
        pairs: where they are from, for messages.
        description: of the task.
        start: number of the first row.
    """
    expected = shapes(description)
    if "x" not in values:
        del expected["x"]
    if sorted(values) != sorted(expected):
        raise UsageError(
            f"{pairs.source}: expected {', '.join(expected)}, got {', '.join(values) or 'nothing'}"
        )
    for name, value in values.items():
        if value.shape[1:] != expected[name]:
            kind = "class numbers" if expected[name] == () and name != "x" else "as trained"
            raise UsageError(
                f"{pairs.source}: {name} has shape {value.shape[1:]} a row, expected "
                f"{expected[name]}, {kind}"
            )
        check_values(name, value, pairs, start, description["bounds"] if name == "x" else None)
        classes = description["cond"].get(name, {}).get("num_classes")
        if classes and (value >= classes).any():
            row = int(np.argmax(value >= classes))
            raise UsageError(
                f"{pairs.source}: row {start + row}, {name} is {value[row]}, expected a class from "
                f"0 to {classes - 1}"
            )


def read_conditions(texts: Sequence[str] | None, description: Mapping[str, Any]) -> Any:
    """Read conditions `[conditions, ...]` as a model was trained on.

    Args:
        texts: a file, `.npy` of the only part, `.npz` by part or `.csv`; or the classes of the only
            label, by number or name; or the numbers of one vector. None for a model of no
            condition, or for all classes.
        description: of the task.

    Returns:
        What the flow is given: None, an array, or a dict.

    Raises:
        UsageError: if they can't be read, or aren't such as the model was trained on.
    """
    parts, categories = description["cond"], description["categories"]
    only = list(parts) == ["cond"] and parts["cond"]["shape"]
    is_label = only == []
    if not parts and texts is None:
        return None
    if not parts or (texts is None and not is_label):
        wanted = ", ".join(f"{k} {tuple(v['shape'])}" for k, v in parts.items())
        raise UsageError(
            f"cond: expected {f'a file with {wanted}' if parts else 'none'}, "
            f"got {'none' if texts is None else ','.join(texts)}"
        )
    if texts is None:
        return np.arange(parts["cond"]["num_classes"], dtype=np.int32)
    path = pathlib.Path(texts[0])
    if len(texts) == 1 and path.suffix == ".csv":
        columns = [c for name in parts for c in description["columns"].get(name, ())]
        found = read_csv(path, (), columns, categories).cond
    elif len(texts) == 1 and path.suffix in (".npy", ".npz"):
        found = read_arrays(path)
    elif only is False or len(only) > 1:
        raise UsageError(f"cond: expected a .npy, .npz or .csv file, got {','.join(texts)}")
    else:
        path = "cond"
        names = list(categories.get("cond", ()))
        try:
            if is_label:
                found = np.array([names.index(t) if t in names else int(t) for t in texts])
            else:
                found = np.array([texts], float)
        except ValueError:
            raise UsageError(
                f"cond: expected a file, or {'classes' if is_label else 'numbers'}, got "
                f"{','.join(texts)}"
            ) from None
        found = {"cond": found}
    for name, value in found.items():
        if parts.get(name, {}).get("shape") and value.dtype.kind in "biu":
            found[name] = value.astype(float)  # numbers, not labels
    length = len(next(iter(found.values())))
    pairs = Pairs(np.zeros(length), found, str(path), description["columns"], categories)
    taken = pairs.take(slice(None), description["missing"])
    del taken["x"]
    check_alike(taken, pairs, description)
    return structured(taken)
