"""The style of one example under another condition."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfp_cinn.distribution import ConditionalTransformedDistribution
from tfp_cinn.latent.arguments import check_distribution

__all__ = ["transfer"]


def transfer(
    dist: ConditionalTransformedDistribution, x: Any, cond: Any, new_cond: Any
) -> tf.Tensor:
    """Decode x under another condition and the same latents: f(f^-1(x; h(cond)); h(new_cond)).

    Maximum likelihood makes z independent of the condition, so that z is what the condition leaves
    open, the style: of a digit slant and thickness, of a photograph its colors given lightness.

        transfer(dist, x, labels, tf.range(10)[:, None])   # [10, N, ...]: each x as every class

    Color transfer between photographs is the same with x the ab of one, cond its L, and new_cond
    the L of the other.

    Args:
        dist: the flow's distribution.
        x: `[*batch, *event]`.
        cond: the condition of x; its batch dimensions broadcast against those of x.
        new_cond: the condition to give it; its batch dimensions broadcast against the former two.

    Returns:
        `[*batch, *event]` of the common batch shape; x, up to rounding, if new_cond is cond.

    Raises:
        UsageError: if a shape, dtype or label doesn't fit.

    Source: arXiv 1907.02392, sec. 4; `style_transfer` in the published mnist_cINN/eval.py.
    """
    check_distribution(dist)
    return dist.decode(dist.encode(x, cond), new_cond)
