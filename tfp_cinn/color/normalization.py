"""Normalization of colors for networks."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfp_cinn.color.checks import as_channels

__all__ = ["LAB_OFFSETS", "LAB_SCALES", "denormalize", "normalize"]

LAB_OFFSETS = (47.5, 2.4, 7.4)
"""Approximate means of L, a and b in photographs.

Source: `offsets` and, for `LAB_SCALES`, `scales` in `colorization_cINN/data.py` and
`colorization_minimal_example/data.py` of https://github.com/vislearn/conditional_INNs at 19e316c.
"""
LAB_SCALES = (25.6, 11.2, 16.8)
"""Approximate standard deviations of L, a and b in photographs."""

# By the number of channels.
_PARTS = {1: slice(0, 1), 2: slice(1, 3), 3: slice(0, 3)}


def normalize(x: Any) -> tf.Tensor:
    """Compute (x - offset) / scale channel by channel, by `LAB_OFFSETS` and `LAB_SCALES`.

    Args:
        x: Lab `[..., 3]`, L alone `[..., 1]` or ab alone `[..., 2]`.

    Raises:
        UsageError: if the dtype is an integer or the number of channels is wrong.
    """
    x = as_channels("normalize", "x", x, _PARTS)
    part = _PARTS[x.shape[-1]]
    return (x - tf.constant(LAB_OFFSETS[part], x.dtype)) / tf.constant(LAB_SCALES[part], x.dtype)


def denormalize(x: Any) -> tf.Tensor:
    """Compute x * scale + offset channel by channel, the inverse of `normalize`.

    Args:
        x: normalized Lab `[..., 3]`, L alone `[..., 1]` or ab alone `[..., 2]`.

    Raises:
        UsageError: if the dtype is an integer or the number of channels is wrong.
    """
    x = as_channels("denormalize", "x", x, _PARTS)
    part = _PARTS[x.shape[-1]]
    return x * tf.constant(LAB_SCALES[part], x.dtype) + tf.constant(LAB_OFFSETS[part], x.dtype)
