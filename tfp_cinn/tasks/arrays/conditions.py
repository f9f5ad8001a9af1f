"""Conditions to sample for, from a file or the command line."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfp_cinn.data.arrays import Pairs, read_csv
from tfp_cinn.data.arrays.batches import structured
from tfp_cinn.data.arrays.files import read_conditions as read_arrays
from tfp_cinn.data.arrays.moments import check_values
from tfp_cinn.data.arrays.pairs import MASK, as_parts
from tfp_cinn.errors import UsageError

__all__ = ["as_conditions", "read_conditions"]


def read_conditions(texts: Sequence[str] | None, facts: Mapping[str, Any]) -> Any:
    """Reads conditions `[conditions, ...]` as a model was trained on.

    Args:
        texts: a file, `.npy` of the only part, `.npz` by part or `.csv`; or the classes of the only
            label, by number or name; or the numbers of one vector. None for a model of no
            condition, or for all classes.
        facts: of the task, as `Arrays.facts`.

    Returns:
        What the flow is given: None, an array, or a dict.

    Raises:
        UsageError: if they can't be read, or aren't such as the model was trained on.
    """
    parts = facts["cond"]
    if not parts or (texts is None and not _is_label(parts)):
        if parts or texts is not None:
            expected = ", ".join(f"{k} {tuple(v['shape'])}" for k, v in parts.items())
            raise UsageError(
                f"cond: expected {f'a file with {expected}' if parts else 'none'}, "
                f"got {'none' if texts is None else ','.join(texts)}"
            )
        return None
    if texts is None:
        return np.arange(parts["cond"]["num_classes"], dtype=np.int32)
    path = pathlib.Path(texts[0]).expanduser()
    if len(texts) == 1 and path.suffix == ".csv":
        columns = [c for name in parts for c in facts["columns"].get(name, ())]
        pairs = read_csv(path, (), columns, facts["categories"])
        return as_conditions(pairs.cond, facts, str(path))
    if len(texts) == 1 and path.suffix in (".npy", ".npz"):
        return as_conditions(read_arrays(path), facts, str(path))
    if list(parts) != ["cond"] or len(parts["cond"]["shape"]) > 1:
        raise UsageError(f"cond: expected a .npy, .npz or .csv file, got {','.join(texts)}")
    if _is_label(parts):
        names = list(facts["categories"].get("cond", ()))
        texts = [str(names.index(text)) if text in names else text for text in texts]
    try:
        numbers = [(int if _is_label(parts) else float)(text) for text in texts]
    except ValueError:
        raise UsageError(
            f"cond: expected a file, or {'classes' if _is_label(parts) else 'numbers'}, got "
            f"{','.join(texts)}"
        ) from None
    return as_conditions(np.array(numbers), facts, "cond")


def as_conditions(cond: Any, facts: Mapping[str, Any], source: str = "cond") -> Any:
    """Checks conditions against those of training, and gives them masks where those had some.

    Args:
        cond: an array `[conditions, ...]` of the only part, or all parts by name; one condition
            without the first dimension is taken as such.
        facts: as in `read_conditions`.
        source: the file, for messages.

    Raises:
        UsageError: if a part is missing, has another shape than trained, or holds a value that
            training would have refused.
    """
    given, wanted = as_parts(cond), facts["cond"]
    masks = {name + MASK: name for name, part in wanted.items() if part.get("mask") == "set"}
    expected = [*wanted, *masks]
    if sorted(given) != sorted(expected):
        raise UsageError(
            f"{source}: expected {', '.join(expected)} as condition, got {', '.join(given)}"
        )
    for name, values in given.items():
        part = wanted[masks.get(name, name)]
        shape = tuple(part["shape"][:-1] if name in masks else part["shape"])
        if values.shape == shape and shape:
            given[name] = values[np.newaxis]
        elif values.ndim == 1 and shape == (1,):
            given[name] = values[:, np.newaxis]
        elif values.ndim == 0 or values.shape[1:] != shape:
            raise UsageError(
                f"{source}: {name} has shape {values.shape}, expected (conditions, "
                f"{', '.join(map(str, shape))}) as trained"
            )
        if not shape and values.dtype.kind not in "biu":
            raise UsageError(f"{source}: {name} holds {values.dtype}, expected class numbers")
    length = len(next(iter(given.values())))
    pairs = Pairs(np.zeros(length), given, source, facts["columns"], facts["categories"])
    taken = pairs.take(slice(None), facts["missing"])
    for name, values in taken.items():
        check_values(name, values, pairs)
        classes = wanted.get(name, {}).get("num_classes")
        if classes and (values >= classes).any():
            row = int(np.argmax(values >= classes))
            raise UsageError(
                f"{source}: row {row}, {name} is {values[row]}, expected a class from 0 to "
                f"{classes - 1}"
            )
    return structured(taken)


def _is_label(parts: Mapping[str, Any]) -> bool:
    return list(parts) == ["cond"] and not parts["cond"]["shape"]
