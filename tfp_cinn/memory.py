"""Whether what is asked for fits in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import psutil

from tfp_cinn.errors import UsageError

__all__ = ["check_room"]


def check_room(name: str, shape: Sequence[int], itemsize: int = 4) -> None:
    """Refuse an array that is larger than the memory that is available.

    Raises:
        UsageError: says how much it needs, and which argument, `name`, to lower.
    """
    need, free = math.prod(shape) * itemsize, psutil.virtual_memory().available
    if need > free:
        raise UsageError(
            f"{name}: an array {list(shape)} needs {need >> 20:,} MiB, {free >> 20:,} "
            "are available; ask for less at a time, each time with another seed"
        )
