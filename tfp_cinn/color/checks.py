"""Argument checks of the color functions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import tensorflow as tf

from tfp_cinn.errors import UsageError

__all__ = ["as_channels"]


def as_channels(
    who: str, what: str, value: Any, channels: int | Collection[int], *, to_float: str = "cast it"
) -> tf.Tensor:
    """Convert to a float tensor whose last axis holds color channels.

    Args:
        who: the calling function, for the error message.
        what: its argument, likewise.
        value: the tensor or array.
        channels: the allowed number or numbers of channels.
        to_float: how to convert another dtype, for the error message.

    Raises:
        UsageError: if the dtype is neither float32 nor float64, or the number of channels is wrong.
    """
    value = tf.convert_to_tensor(value)
    if value.dtype not in (tf.float32, tf.float64):
        raise UsageError(
            f"{who}: expected {what} of dtype float32 or float64, got {value.dtype.name}: "
            f"{to_float}"
        )
    allowed = [channels] if isinstance(channels, int) else channels
    if not value.shape.rank or value.shape[-1] not in allowed:
        expected = " or ".join(f"[..., {n}]" for n in allowed)
        raise UsageError(f"{who}: expected {what} of shape {expected}, got {value.shape}")
    return value
