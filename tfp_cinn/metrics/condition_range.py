"""Conditions of training, and how far other conditions are from them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from tfp_cinn.metrics.figure import Figure, metric

__all__ = ["condition_distances", "describe_far", "measure_range", "out_of_range"]

_SHARE = 0.999
_FEW = 20  # conditions of which no range is known
_NUMBERS = 64  # of a part, about


def measure_range(conditions: Iterable[Any], sets: Collection[str] = ()) -> dict[str, Any] | None:
    r"""Return what `condition_distances` needs to know of the conditions of training.

        d(c) = |L^-1 (s(c) - m) / v| / q

    s(c) are about 64 numbers a part that describe c: a vector's entries; of a longer vector, a
    series or a map the averages on a coarse grid, and the root mean squares of the details that
    each halving of the resolution loses; of a set the mean and standard deviation of its points;
    and of what has a mask the share that is there. Labels aren't part of it. m and v are the means
    and standard deviations of s over every second condition, L L^T is the correlation there, and q
    the 99.9 % quantile of what stands before it over the others.

    Args:
        conditions: batches of conditions `[N, ...]`, or dicts of their parts.
        sets: names of the parts `[N, M, D]` whose order doesn't matter.

    Returns:
        A dict for JSON; None if the conditions are labels, or too few.
    """
    described = [_describe(cond, sets) for cond in conditions]
    numbers = np.concatenate(described) if described else np.zeros((0, 0))
    if len(numbers) < _FEW or not numbers.shape[1]:
        return None
    ours, others = numbers[::2], numbers[1::2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # entries that are never there
        mean, std = np.nan_to_num(np.nanmean(ours, 0)), np.nan_to_num(np.nanstd(ours, 0))
    std = np.where(std > 0, std, 1e-3 * np.maximum(1.0, np.abs(mean)))
    z = np.nan_to_num((ours - mean) / std)
    lower = np.linalg.cholesky(z.T @ z / len(z) + 1e-6 * np.eye(z.shape[1]))
    whiten = np.linalg.inv(lower)
    known = {
        "sets": sorted(sets),
        "mean": _short(mean),
        "std": _short(std),
        "whiten": [_short(row[: k + 1]) for k, row in enumerate(whiten)],
        "limit": 1.0,
    }
    limit = np.quantile(_distances(known, others), _SHARE, method="higher")
    return known | {"limit": float(limit)}


def condition_distances(known: Mapping[str, Any], cond: Any) -> np.ndarray:
    """Return d(c) `[N]` of conditions: above 1, c is farther out than 99.9 % of the training's.

    Args:
        known: of `measure_range`.
        cond: conditions `[N, ...]`, or a dict of their parts.
    """
    return _distances(known, _describe(cond, known["sets"]))


def describe_far(distances: np.ndarray) -> str | None:
    """Return one line that says which rows are out of range; None if none is."""
    far = np.flatnonzero(~(distances <= 1))
    if not len(far):
        return None
    lie = "condition lies" if len(distances) == 1 else "conditions lie"
    rows = ", ".join(map(str, far[:10])) + (", ..." if len(far) > 10 else "")
    return (
        f"{len(far)} of {len(distances)} {lie} farther from those of training than 99.9 % of "
        f"them: row{'s' * (len(far) > 1)} {rows}; what is said of x there may be wrong"
    )


@metric("1", "share of the conditions farther from those of training than 99.9 % of them")
def out_of_range(distances: np.ndarray) -> Figure:
    """Return the share of conditions whose distance is above 1."""
    return Figure.average(~(distances <= 1))


def _distances(known, numbers):
    z = np.nan_to_num((numbers - np.array(known["mean"])) / np.array(known["std"]))
    whiten = np.zeros((z.shape[1],) * 2)
    for row, values in zip(whiten, known["whiten"], strict=True):
        row[: len(values)] = values
    return np.linalg.norm(z @ whiten.T, axis=1) / known["limit"]


def _short(values):
    return [float(f"{v:.6g}") for v in values]


def _describe(cond: Any, sets: Collection[str]) -> np.ndarray:
    """Return s(c), `[N, numbers]`, NaN where nothing is there."""
    parts = cond if isinstance(cond, Mapping) else {"cond": cond}
    parts = {name: np.asarray(part) for name, part in parts.items()}
    numbers = []
    for name, part in sorted(parts.items()):
        if part.ndim < 2 or name.removesuffix("_mask") in parts.keys() - {name}:
            continue
        value, mask, is_set = part.astype(np.float64), parts.get(f"{name}_mask"), name in sets
        if mask is not None:
            numbers.append(mask.reshape(len(mask), -1).mean(1, keepdims=True))
            of_points = mask.ndim < value.ndim
            value = np.where((mask[..., np.newaxis] if of_points else mask) > 0, value, np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            if is_set:
                numbers += [np.nanmean(value, 1), np.nanstd(value, 1)]
            else:
                numbers += _scales(value)
    rows = len(next(iter(parts.values())))
    return np.concatenate(numbers, axis=1) if numbers else np.zeros((rows, 0))


def _scales(value: np.ndarray) -> Iterable[np.ndarray]:
    """Yield what each halving of the resolution loses, by channel, and what is left in the end."""
    if value.shape[-1] > _NUMBERS:
        value = value[..., np.newaxis]
    space = tuple(range(1, value.ndim - 1))
    while math.prod(value.shape[1:]) > _NUMBERS and max(value.shape[1:-1], default=1) > 1:
        fine = value
        for axis in space:
            value = np.nanmean(np.stack(_halves(value, axis)), axis=0)
        coarse = value
        for axis in space:
            coarse = coarse.repeat(2, axis).take(range(fine.shape[axis]), axis)
        yield np.sqrt(np.nanmean((fine - coarse) ** 2, axis=space))
    yield value.reshape(len(value), -1)


def _halves(value: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return every second entry of an axis, and those after them, NaN where none is left."""
    odd = value.shape[axis] % 2
    padding = [(0, odd if k == axis else 0) for k in range(value.ndim)]
    value = np.pad(value, padding, constant_values=np.nan)
    return tuple(value.take(range(k, value.shape[axis], 2), axis) for k in (0, 1))
