"""Checks of a config's `train` section."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from tfp_cinn.configs import default_config
from tfp_cinn.errors import UsageError

__all__ = ["check"]

_MOST = 1 << 53  # floats hold all integers up to this


def check(section: Mapping[str, Any]) -> None:
    """Refuses fields that are missing or unknown, of the wrong type or out of range.

    Args:
        section: the config's `train`.

    Raises:
        UsageError: with the field, what was expected and its value.
    """
    known = default_config().train
    for field in section:
        if field not in known:
            near = difflib.get_close_matches(field, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(known)}"
            raise UsageError(f"config.train.{field}: no such field; {hint}")
    for field in ("epochs", "batch_size", "shards", "keep_checkpoints", "max_skipped"):
        _expect(section, field, _is_count, "at least 1")
    _expect(
        section,
        "steps_per_epoch",
        lambda value: value is None or _is_count(value),
        "at least 1, or none for an epoch of all data",
    )
    for field in ("learning_rate", "milestone_decay", "final_decay", "epsilon"):
        _expect(section, field, lambda value: _is_finite(value) and value > 0, "more than 0")
    for field in ("clip_norm", "checkpoint_seconds"):
        _expect(section, field, lambda value: _is_finite(value) and value >= 0, "0 or more")
    _expect(section, "warm_up_epochs", lambda value: _is_whole(value) and value >= 0, "0 or more")
    _expect(
        section,
        "milestones",
        lambda value: isinstance(value, (list, tuple)) and all(map(_is_whole, value)),
        "epochs, such as (20, 40)",
    )
    _expect(section, "seed", lambda value: _is_whole(value) and 0 <= value < 2**32, "0 to 2^32 - 1")
    _expect(section, "deterministic", lambda value: isinstance(value, bool), "True or False")
    memories = ("store", "recompute")
    _expect(section, "memory", lambda value: value in memories, '"store" or "recompute"')
    _expect(section, "on_nan", lambda value: value in ("stop", "skip"), '"stop" or "skip"')
    last = section["learning_rate"] * section["milestone_decay"] ** min(
        len(section["milestones"]), 1000
    )
    if not last < math.inf:
        raise UsageError(
            f"config.train.milestone_decay: {section['milestone_decay']} makes the learning rate "
            "infinite; lower it"
        )


def _expect(section, field, is_good, expected):
    if field not in section:
        raise UsageError(f"config.train.{field}: expected {expected}, but there is no such field")
    if not is_good(section[field]):
        shown = " ".join(repr(section[field]).split())[:100]
        raise UsageError(f"config.train.{field}: expected {expected}, got {shown}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MOST


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value >= 1


def _is_finite(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and abs(value) <= _MOST
