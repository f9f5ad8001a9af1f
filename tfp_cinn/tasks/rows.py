"""Which examples of a labeled split to take."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tfp_cinn import data
from tfp_cinn.errors import UsageError

__all__ = ["rows_of"]


def rows_of(images: data.LabeledImages, labels: np.ndarray, wanted: Iterable[int]) -> list[int]:
    """Numbers of examples of wanted classes; the next one each time that a class comes again.

    Args:
        images: the data set, for the message.
        labels: of the examples, `[N]`.
        wanted: classes.

    Raises:
        UsageError: if there are too few examples of a class.
    """
    rows, unused = [], {}
    for label in map(int, wanted):
        of_class = unused.setdefault(label, iter(np.flatnonzero(labels == label)))
        rows.append(next(of_class, None))
        if rows[-1] is None:
            name = images.class_names[label]
            raise UsageError(f"cond: {images.name} has too few images of class {name}")
    return rows
