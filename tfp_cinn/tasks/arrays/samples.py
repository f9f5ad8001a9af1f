"""Files of samples: arrays, tables, pictures."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tfp_cinn.data.arrays import read_array, read_npz
from tfp_cinn.data.arrays.pairs import MASK
from tfp_cinn.errors import UsageError
from tfp_cinn.files import writing
from tfp_cinn.plots.posterior import draw_bands, draw_corner, draw_maps

__all__ = ["check_output", "read_truth", "write_samples"]

_PICTURES = 8


def check_output(output: pathlib.Path, event_shape: tuple[int, ...]) -> None:
    """Refuse a file that samples of a shape can't be written to, before they are drawn."""
    if output.suffix not in (".npz", ".csv", ".png") or not output.parent.is_dir():
        raise UsageError(f"{output}: expected a .npz, .csv or .png file in a folder that exists")
    if output.suffix == ".csv" and len(event_shape) != 1:
        raise UsageError(f"{output}: expected .npz or .png, since x isn't a vector")
    if output.suffix == ".png" and len(event_shape) > 3:
        raise UsageError(f"{output}: expected .npz, since x has {len(event_shape)} dimensions")


def read_truth(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Read the true x of each condition, `shape`, of a `.npy` file or `x` of a `.npz`."""
    truth = read_npz(path).x if pathlib.Path(path).suffix == ".npz" else read_array(path)
    if truth.size != np.prod(shape):
        raise UsageError(
            f"{path}: the truth has shape {truth.shape}, expected {shape}, an x for each condition"
        )
    return np.reshape(truth, shape)


def write_samples(
    output: pathlib.Path,
    x: np.ndarray,
    log_prob: np.ndarray,
    cond: Any,
    description: Mapping[str, Any],
    distance: np.ndarray | None = None,
    truth: np.ndarray | None = None,
) -> None:
    """Write samples whole or not at all.

    * `.npz`: `x` `[num_samples, conditions, ...]`, `log_prob` `[num_samples, conditions]` in nats,
      `distance` `[conditions]` if given, and the condition by part, NaN where an entry is missing.
    * `.csv`: of vectors, a line a sample: condition, sample, the columns of x, log_prob.
    * `.png`: of vectors a corner plot, of series bands, of maps images; of the first condition, and
      of further ones in files NAME-1.png, NAME-2.png, ..., 8 at most.

    Args:
        output: the file, which `check_output` let pass.
        x: samples; `[num_samples, 1, ...]` of no condition.
        log_prob: their log-densities.
        cond: the conditions.
        description: of the task, for names.
        distance: of each condition from those of training.
        truth: the true x of each condition, `[conditions, ...]`; marked in pictures.
    """
    names = list(description["columns"].get("x", ()))
    if output.suffix == ".npz":
        with writing(output) as scratch:
            known = {} if distance is None else {"distance": distance}
            cond = _as_read(cond, description["cond"])
            np.savez(scratch, x=x, log_prob=log_prob, **known, **cond)
    elif output.suffix == ".csv":
        samples, conditions = np.indices(x.shape[:2]).reshape(2, -1)
        table = pd.DataFrame({"condition": conditions, "sample": samples})
        table[names or [f"x{i}" for i in range(x.shape[-1])]] = x.reshape(-1, x.shape[-1])
        table["log_prob"] = log_prob.reshape(-1)
        with writing(output) as scratch:
            table.to_csv(scratch, index=False)
    else:
        draw = {1: draw_corner, 2: draw_bands, 3: draw_maps}[x.ndim - 2]
        for k in range(min(x.shape[1], _PICTURES)):
            path = output.with_name(f"{output.stem}-{k}{output.suffix}") if k else output
            with writing(path) as scratch:
                title = f"{len(x)} samples of condition {k}"
                draw(x[:, k], scratch, names, None if truth is None else truth[k], title)


def _as_read(cond: Any, parts: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return conditions by the names that a file of pairs has them by."""
    arrays = {}
    given = cond if isinstance(cond, Mapping) else {"cond": cond}
    for name, part in parts.items():
        value, mask = np.asarray(given[name]), given.get(name + MASK)
        key = name if name == "cond" else f"cond_{name}"
        arrays[key] = value
        if part.get("mask") == "entries":
            arrays[key] = np.where(np.asarray(mask) > 0, value, np.nan)
        elif mask is not None:
            arrays[key + MASK] = np.asarray(mask)
    return arrays
