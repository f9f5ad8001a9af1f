"""Reading arrays from .npz, .npy and .csv files."""

from __future__ import annotations

import os
import pathlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tfp_cinn.data.arrays.pairs import MASK, Pairs
from tfp_cinn.errors import UsageError

__all__ = ["read_array", "read_csv", "read_npy", "read_npz"]


def read_npz(path: str | os.PathLike) -> Pairs:
    """Read `x` with `cond`, or with several `cond_NAME`, or alone, from an `.npz` file.

    Raises:
        UsageError: if the file can't be read, or holds other arrays.
    """
    arrays = _load(path)
    if not isinstance(arrays, Mapping):
        raise UsageError(f"{path}: expected an .npz file with x and cond; give .npy by data.x")
    if "x" not in arrays:
        raise UsageError(f"{path}: expected an array x, got {', '.join(arrays) or 'none'}")
    return Pairs(arrays.pop("x"), _parts(path, arrays), str(path))


def read_npy(x: str | os.PathLike, cond: str | os.PathLike | None = None) -> Pairs:
    """Open `.npy` files of x and of the condition as memory maps.

    Raises:
        UsageError: if one can't be read.
    """
    parts = {} if cond is None else {"cond": read_array(cond)}
    return Pairs(read_array(x), parts, f"{x}" if cond is None else f"{x} and {cond}")


def read_array(path: str | os.PathLike) -> np.ndarray:
    """Open one `.npy` file as a memory map.

    Raises:
        UsageError: if it can't be read.
    """
    array = _load(path)
    if isinstance(array, Mapping):
        raise UsageError(f"{path}: expected one array in an .npy file, got an .npz file")
    return array


def read_conditions(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read conditions alone: an `.npy` file, or `cond` or `cond_NAME` of an `.npz` file.

    Raises:
        UsageError: if the file can't be read.
    """
    arrays = _load(path)
    if not isinstance(arrays, Mapping):
        return {"cond": arrays}
    return _parts(path, {k: v for k, v in arrays.items() if k not in ("x", "log_prob", "distance")})


def read_csv(
    path: str | os.PathLike,
    x_columns: Sequence[str],
    cond_columns: Sequence[str] = (),
    categories: Mapping[str, Sequence[str]] | None = None,
) -> Pairs:
    """Read columns of numbers as x and as the condition, each column of text as a label.

    All columns of numbers of the condition are one part, "cond"; each column of text is a part of
    its own name, or "cond" if it is the only one.

    Args:
        path: a file with a line of column names.
        x_columns: the columns of x; none to read conditions alone, x is then zero.
        cond_columns: the columns of the condition.
        categories: the classes of each label in order, of an earlier file; in alphabetical order
            as they come if None.

    Raises:
        UsageError: if the file or a column is missing, x isn't a number, a category is unknown.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:  # pandas' errors of parsing are ValueErrors
        raise UsageError(f"{path}: can't be read as .csv ({str(error).strip()})") from None
    names = [*x_columns, *cond_columns]
    absent = [name for name in names if name not in table]
    if absent or not names:
        raise UsageError(
            f"{path}: has no column {absent[0] if absent else 'chosen'}; set data.x_columns and "
            f"data.cond_columns among {', '.join(map(str, table.columns))}"
        )
    text = [name for name in names if not pd.api.types.is_numeric_dtype(table[name])]
    text += [name for name in categories or () if name in cond_columns]
    text += cond_columns if categories and "cond" in categories else []
    for name in set(text) & set(x_columns):
        values = pd.to_numeric(table[name], errors="coerce")
        row = int(np.flatnonzero(values.isna())[0])
        raise UsageError(
            f"{path}: row {row}, column {name}: expected a number for x, got "
            f"{table[name].iloc[row]!r}"
        )
    numbers = [name for name in cond_columns if name not in text]
    cond, columns, classes = {}, {"x": list(x_columns)}, {}
    if numbers:
        cond["cond"], columns["cond"] = table[numbers].to_numpy(np.float64), numbers
    labels = [name for name in cond_columns if name in text]
    for name in labels:
        part = name if len(labels) > 1 or numbers else "cond"
        columns[part] = [name]
        cond[part], classes[part] = _codes(path, table[name], (categories or {}).get(part))
    x = table[list(x_columns)].to_numpy(np.float64) if x_columns else np.zeros(len(table))
    return Pairs(x, cond, str(path), columns, classes)


def _codes(path, column: pd.Series, known: Sequence[str] | None):
    empty = np.flatnonzero(column.isna())
    if len(empty):
        raise UsageError(f"{path}: row {empty[0]}, column {column.name}: expected a category")
    known = sorted(column.astype(str).unique()) if known is None else list(known)
    codes = pd.Index(known).get_indexer(column.astype(str)).astype(np.int32)
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        raise UsageError(
            f"{path}: row {row}, column {column.name}: {column.iloc[row]!r} isn't among the "
            f"categories {', '.join(known)}"
        )
    return codes, known


def _parts(path, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    unknown = [k for k in arrays if k != "cond" and not k.startswith("cond_")]
    if unknown:
        raise UsageError(f"{path}: expected x, cond or cond_NAME, got an array {unknown[0]}")
    whole = ("cond", f"cond{MASK}")
    return {k if k in whole else k.removeprefix("cond_"): v for k, v in arrays.items()}


def _load(path: str | os.PathLike) -> np.ndarray | dict[str, np.ndarray]:
    path = pathlib.Path(path).expanduser()
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if "Object arrays" in str(error):
            raise UsageError(
                f"{path}: holds an array of objects, expected numbers; convert it to float"
            ) from None
        raise UsageError(
            f"{path}: can't be read as .npy or .npz ({error}); it may be cut short"
        ) from None
