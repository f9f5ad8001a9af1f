"""Checks of an export's arguments."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import keras
import numpy as np

from tfp_cinn.errors import UsageError
from tfp_cinn.model import CINN
from tfp_cinn.networks import LabelEmbedding, OneHot

__all__ = ["BATCH_SIZES", "check_weights", "checked_batch_sizes", "num_classes_of"]

BATCH_SIZES = (1, 4, 16, 64)

# Each needs a warm-up record for every signature, and a server accepts 1000 records.
_MAX_BATCH_SIZES = 100


def checked_batch_sizes(batch_sizes: Sequence[int | str]) -> list[int]:
    """Return batch sizes as numbers.

    Raises:
        UsageError: if they aren't increasing whole numbers, or too many.
    """
    try:
        sizes = [int(n) if isinstance(n, str) else operator.index(n) for n in batch_sizes]
    except (TypeError, ValueError):
        sizes = []
    if not sizes or sizes[0] < 1 or sizes != sorted(set(sizes)) or len(sizes) > _MAX_BATCH_SIZES:
        raise UsageError(
            f"batch_sizes: expected up to {_MAX_BATCH_SIZES} increasing whole numbers from 1, such "
            f"as {list(BATCH_SIZES)}, got {str(batch_sizes)[:100]}"
        )
    return sizes


def num_classes_of(model: CINN, names: Sequence[str] | None) -> int | None:
    """Return the number of classes of the condition; None if it isn't a label or is unknown.

    Raises:
        UsageError: if the number of class names differs.
    """
    takes = None
    if isinstance(model.conditioner, (LabelEmbedding, OneHot)):
        takes = model.conditioner.num_classes
    if names and takes not in (None, len(names)):
        raise UsageError(
            f"facts: the model's condition is one of {takes} classes, got {len(names)} class_names"
        )
    return len(names) if names else takes


def check_weights(model: CINN) -> None:
    """Check that all weights are finite.

    Raises:
        UsageError: if one is NaN or infinite.
    """
    for weight in model.weights:
        bad = np.count_nonzero(~np.isfinite(keras.ops.convert_to_numpy(weight)))
        if bad:
            raise UsageError(
                f"the model can't be exported: {bad} values of its weight {weight.path} are NaN or "
                "infinite; train it again"
            )
