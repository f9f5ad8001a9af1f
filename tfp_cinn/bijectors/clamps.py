"""Soft clamps for the log-scale of affine couplings.

Each takes an unbounded log-scale s of any shape to (-bound, bound), in nats, and is odd.
"""

from __future__ import annotations

import tensorflow as tf

__all__ = [
    "CLAMPS",
    "arctan_clamp",
    "arctan_unscaled_clamp",
    "sigmoid_clamp",
    "tanh_clamp",
]

# The paper's reference code writes 2/pi as 0.636; kept, so that its weights mean the same here.
_TWO_OVER_PI = 0.636


def arctan_clamp(s: tf.Tensor, bound: float) -> tf.Tensor:
    """Return bound * 0.636 * arctan(s / bound), the paper's clamp; slope 0.636 at the origin.

    Eq. 4 of arXiv 1907.02392, with 2/pi written as 0.636 as its published code has it.
    """
    return (bound * _TWO_OVER_PI) * tf.atan(s / bound)


def arctan_unscaled_clamp(s: tf.Tensor, bound: float) -> tf.Tensor:
    """Return bound * 0.636 * arctan(s); slope 0.636 bound at the origin.

    That of FrEIA 0.2 as PyPI has it (`clamp_activation="ATAN"`); the FrEIA of the paper had
    `arctan_clamp` in its GLOW blocks. The two agree at a bound of 1.
    """
    return (bound * _TWO_OVER_PI) * tf.atan(s)


def tanh_clamp(s: tf.Tensor, bound: float) -> tf.Tensor:
    """Return bound * tanh(s / bound); slope 1 at the origin."""
    return bound * tf.tanh(s / bound)


def sigmoid_clamp(s: tf.Tensor, bound: float) -> tf.Tensor:
    """Return bound * (2 sigmoid(s / bound) - 1); slope 1/2 at the origin."""
    return bound * (2.0 * tf.sigmoid(s / bound) - 1.0)


CLAMPS = {
    "arctan": arctan_clamp,
    "arctan_unscaled": arctan_unscaled_clamp,
    "tanh": tanh_clamp,
    "sigmoid": sigmoid_clamp,
}
