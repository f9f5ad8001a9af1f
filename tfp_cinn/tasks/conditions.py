"""Conditions from the command line: classes, and files of arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfp_cinn.errors import UsageError

__all__ = ["num_conditions", "read_conditions", "rows_of", "to_labels"]


def num_conditions(cond: Any) -> int:
    """Return how many conditions are stacked; 1 of None."""
    if cond is None:
        return 1
    return len(next(iter(cond.values())) if isinstance(cond, Mapping) else cond)


def read_conditions(
    texts: Sequence[str] | None, shape: Any, class_names: Sequence[str] | None = None
) -> Any:
    """Read conditions of any task; see `tfp_cinn.tasks.Task.read_conditions`."""
    texts = [texts] if isinstance(texts, str | int) else texts
    if shape is None:
        if texts is not None:
            raise UsageError("cond: the model takes no condition; leave --cond away")
        return None
    is_file = texts is not None and len(texts) == 1 and str(texts[0]).endswith((".npy", ".npz"))
    if shape == () and not is_file and (class_names or texts):
        return to_labels(texts, class_names)
    if not is_file:
        raise UsageError("cond: expected one .npy or .npz file of conditions; give --cond=FILE")
    try:
        found = np.load(texts[0], allow_pickle=False)
        if not isinstance(found, np.ndarray):
            with found:
                found = dict(found)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"cond: {texts[0]}: can't be read as .npy or .npz ({error})") from None
    found = found if isinstance(found, dict) else {"cond": found}
    parts = {}
    for key, part in (shape if isinstance(shape, dict) else {"cond": shape}).items():
        name = key if key in found else f"cond_{key}"
        if name not in found:
            raise UsageError(f"cond: {texts[0]}: lacks {key!r}, has {', '.join(found)}")
        value = found[name]
        kinds = "biuf" if part else "biu"
        if value.dtype.kind not in kinds or value.shape[1:] != tuple(part) or not value.ndim:
            raise UsageError(
                f"cond: {texts[0]}: expected {'numbers' if part else 'whole numbers'} of shape "
                f"{['conditions', *part]} as {name}, got {value.dtype} {list(value.shape)}"
            )
        if not len(value) or not np.isfinite(value).all():
            raise UsageError(f"cond: {texts[0]}: expected finite {name}, one row or more")
        parts[key] = value.astype(np.float32 if part else np.int32)
    if len({len(value) for value in parts.values()}) > 1:
        raise UsageError(f"cond: {texts[0]}: parts differ in their number of rows")
    return parts if isinstance(shape, dict) else parts["cond"]


def to_labels(
    cond: Sequence[str | int] | str | int | None, class_names: Sequence[str] | None
) -> np.ndarray:
    """Return the numbers, int32, of classes by number or, in any case of letters, by name.

    All classes if `cond` is None; any number will do if `class_names` is.

    Raises:
        UsageError: if there is no such class, or none is given.
    """
    if cond is None:
        return np.arange(len(class_names), dtype=np.int32)
    cond = [cond] if isinstance(cond, str | int) else cond
    if not len(cond):
        raise UsageError("cond: expected one class or more, got none")
    return np.array([_label(str(each).strip(), class_names) for each in cond], np.int32)


def _label(text: str, names: Sequence[str] | None) -> int:
    # Names first, as classes may be called 1 to 26.
    found = [k for k, name in enumerate(names or ()) if name.casefold() == text.casefold()]
    if found:
        return found[0]
    last = len(names) - 1 if names else 2**31 - 1
    try:
        number = int(text)
    except ValueError:
        choice = f"0 to {last}" if names else "whole numbers"
        if names and list(names) != [str(k) for k in range(len(names))]:
            choice += f" or {', '.join(names)}"
        raise UsageError(f"cond: expected class labels {choice}, got {text!r}") from None
    if not 0 <= number <= last:
        raise UsageError(f"cond: label {number} is out of range: expected 0 to {last}")
    return number


def rows_of(names: Sequence[str], wanted: Iterable[str]) -> list[int]:
    """Return the first row of each name wanted, the next one each time that a name comes again.

    Raises:
        UsageError: if there are too few rows of a name.
    """
    rows: list[int] = []
    for name in wanted:
        unused = (k for k, each in enumerate(names) if each == name and k not in rows)
        row = next(unused, None)
        if row is None:
            raise UsageError(f"cond: too few held-out examples of class {name}")
        rows.append(row)
    return rows
