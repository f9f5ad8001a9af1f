"""Skipping batches with a NaN or infinite loss or gradient."""

from __future__ import annotations

import sys
import types

import tqdm

from tfp_cinn.errors import NonFiniteStepError
from tfp_cinn.training.position import Position

__all__ = ["Skipping"]


class Skipping:
    """Resumes `fit` at the next batch after a step that was NaN or infinite.

        while skipping.again:
            with skipping:
                model.fit(...)

    Such a step changes neither weights nor optimizer. An epoch keeps its number of steps.

    Args:
        position: the position of training.
        most: maximal number of steps to skip in a row; the next one raises.
    """

    def __init__(self, position: Position, most: int):
        self._position, self._most = position, most
        self._in_a_row, self._latest = 0, -1
        self.again = True

    def __enter__(self) -> Skipping:
        self.again = False
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> bool:
        if not isinstance(error, NonFiniteStepError) or not self._most:
            return False
        step = self._position.moment.step
        self._in_a_row = self._in_a_row + 1 if step == self._latest else 1
        self._latest = step
        if self._in_a_row > self._most:
            error.args = (f"{error} (the step after {self._most} that were skipped)",)
            return False
        self._position.skip_batch()
        tqdm.tqdm.write(f"{error}; the batch is skipped", file=sys.stderr)
        self.again = True
        return True
