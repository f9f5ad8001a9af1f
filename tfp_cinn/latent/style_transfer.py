"""Style transfer: one example's latents under another condition."""

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

    Maximum likelihood makes z independent of the condition, so z encodes what the condition leaves
    open, the style: a digit's slant and thickness, or a photograph's colors given its lightness.

        transfer(dist, x, labels, tf.range(10)[:, None])   # [10, N, ...]: each x as every class

    To transfer colors between photographs, let x be the ab of one, cond its L, and new_cond the L
    of the other.

    Args:
        dist: the flow's distribution.
        x: `[*batch, *event]`.
        cond: the condition of x; its batch dimensions broadcast with those of x.
        new_cond: the new condition; its batch dimensions broadcast with those of x and cond.

    Returns:
        `[*batch, *event]` with the broadcast batch shape; x, up to rounding, if new_cond is cond.

    Raises:
        UsageError: if a shape, dtype or label doesn't fit.

    Source: arXiv 1907.02392, sec. 4; `style_transfer` in the published mnist_cINN/eval.py.
    """
    check_distribution(dist)
    return dist.decode(dist.encode(x, cond), new_cond)
