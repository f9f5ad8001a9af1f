"""Files of samples: arrays, tables, pictures."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tfp_cinn.data.arrays.pairs import MASK
from tfp_cinn.errors import UsageError
from tfp_cinn.files import writing
from tfp_cinn.plots.posterior import draw_bands, draw_corner, draw_maps

__all__ = ["write_samples"]


def write_samples(
    output: pathlib.Path,
    x: np.ndarray,
    log_prob: np.ndarray | None,
    facts: Mapping[str, Any],
    cond: Any = None,
    truth: np.ndarray | None = None,
) -> None:
    """Writes samples whole or not at all.

    * `.npz`: `x` `[num_samples, conditions, ...]`, `log_prob` `[num_samples, conditions]` in nats,
      and the condition by part.
    * `.csv`: of vectors, a line a sample: condition, sample, the columns of x, log_prob.
    * `.png`: of vectors a corner plot, of series bands, of maps images; of the first condition, and
      of further ones in files NAME-1.png, NAME-2.png, ..., 8 at most.

    Args:
        output: the file; its suffix says which.
        x: samples `[num_samples, conditions, ...]`, or `[num_samples, ...]` of no condition.
        log_prob: their log-densities; not written if None.
        facts: of the task, for names.
        cond: the conditions.
        truth: the true x of each condition, `[conditions, ...]`, or of the only one; marked in
            pictures.

    Raises:
        UsageError: if the suffix is another one, a table is wanted of what isn't a vector, a sample
            isn't finite, the truth has another shape, or the file can't be written.
    """
    if x.ndim == 1 + len(facts["x"]["shape"]):  # no condition
        x, log_prob = x[:, np.newaxis], None if log_prob is None else log_prob[:, np.newaxis]
    check_output(output, x.shape[2:])
    bad = ~np.isfinite(x).all(axis=tuple(range(2, x.ndim)))
    if bad.any():
        raise UsageError(
            f"{np.count_nonzero(bad)} of {bad.size} samples hold NaN or infinity; look whether the "
            "condition is like those of training"
        )
    if truth is not None:
        truth = np.asarray(truth, np.float64)
        if truth.size != x[0].size:
            raise UsageError(
                f"truth: has shape {truth.shape}, expected {x.shape[1:]}, an x for each condition"
            )
        truth = truth.reshape(x.shape[1:])
    names = list(facts["columns"].get("x", ()))
    if output.suffix == ".npz":
        arrays = {"x": x} if log_prob is None else {"x": x, "log_prob": log_prob}
        if isinstance(cond, Mapping):
            arrays |= _as_read(cond, facts)
        elif cond is not None:
            arrays["cond"] = cond
        with writing(output) as scratch:
            np.savez(scratch, **{key: np.asarray(value) for key, value in arrays.items()})
    elif output.suffix == ".csv":
        samples, conditions = np.indices(x.shape[:2]).reshape(2, -1)
        table = pd.DataFrame({"condition": conditions, "sample": samples})
        columns = names or [f"x{i}" for i in range(x.shape[-1])]
        table[columns] = x.reshape(-1, x.shape[-1])
        if log_prob is not None:
            table["log_prob"] = log_prob.reshape(-1)
        with writing(output) as scratch:
            table.to_csv(scratch, index=False)
    else:
        draw = {1: draw_corner, 2: draw_bands, 3: draw_maps}[x.ndim - 2]
        for k in range(min(x.shape[1], 8)):
            path = output.with_name(f"{output.stem}-{k}{output.suffix}") if k else output
            with writing(path) as scratch:
                title = f"{len(x)} samples of condition {k}"
                draw(x[:, k], scratch, names, None if truth is None else truth[k], title)


def _as_read(cond: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Conditions as a file has them: NaN where an entry is missing."""
    arrays = {}
    for name, part in facts["cond"].items():
        given, masks = {name: cond[name]}, part.get("mask")
        if masks == "entries":
            given[name] = np.where(np.asarray(cond[name + MASK]) > 0, cond[name], np.nan)
        elif masks == "set":
            given[name + MASK] = cond[name + MASK]
        for key, value in given.items():
            arrays[key if key in ("cond", f"cond{MASK}") else f"cond_{key}"] = value
    return arrays


def check_output(output: pathlib.Path, event_shape: tuple[int, ...]) -> None:
    """Refuses a file that samples of a shape can't be written to, before they are drawn."""
    if output.suffix not in (".npz", ".csv", ".png"):
        raise UsageError(f"{output}: expected the name of a .npz, .csv or .png file")
    if output.suffix == ".csv" and len(event_shape) != 1:
        raise UsageError(f"{output}: expected .npz or .png, since x isn't a vector")
    if output.suffix == ".png" and len(event_shape) > 3:
        raise UsageError(f"{output}: expected .npz, since x has {len(event_shape)} dimensions")
