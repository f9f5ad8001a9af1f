"""What a user may ask of `bin/explore.py`, and what its tools give."""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tfp_cinn.errors import UsageError
from tfp_cinn.tasks.task import check_drawing

__all__ = ["Options", "Picture"]

_MOST_COLUMNS = 50


class Options(NamedTuple):
    """How to draw.

    Attributes:
        seed: of all that is drawn at random.
        steps: images of a path, 2 to 50.
        temperatures: of the sweep, up to 50.
        num_samples: of each resolution, up to 50.
        num_components: principal axes, 1 to 50.
        num_examples: held-out examples that walks, likelihoods and foreign inputs are of, at most.
        scale: the resolution to draw anew; each in turn if None.
    """

    seed: int = 0
    steps: int = 7
    temperatures: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    num_samples: int = 4
    num_components: int = 5
    num_examples: int = 1000
    scale: int | None = None

    def check(self) -> None:
        """Checks all that needs no model.

        Raises:
            UsageError: if an option is out of range.
        """
        check_drawing(self.num_samples, 1.0, self.seed)
        least = {"steps": 2, "num_samples": 1, "num_components": 1}
        for name, low in least.items():
            value = getattr(self, name)
            if not low <= value <= _MOST_COLUMNS:
                raise UsageError(f"{name}: expected {low} to {_MOST_COLUMNS}, got {value}")
        if self.num_examples < 2:
            raise UsageError(f"num_examples: expected 2 or more, got {self.num_examples}")
        if not 1 <= len(self.temperatures) <= _MOST_COLUMNS:
            raise UsageError(
                f"temperatures: expected 1 to {_MOST_COLUMNS} numbers, got {len(self.temperatures)}"
            )
        for each in self.temperatures:
            if not 0 <= each < math.inf:
                raise UsageError(f"temperatures: expected 0 or more, and finite, got {each:g}")


class Picture(NamedTuple):
    """What a tool gives.

    Attributes:
        draw: draws the picture into a PNG.
        numbers: beside it, for JSON.
        write_more: writes further files into a folder, if there are any to write.
    """

    draw: Callable[[str | os.PathLike], None]
    numbers: dict[str, Any]
    write_more: Callable[[pathlib.Path], list[pathlib.Path]] | None = None
