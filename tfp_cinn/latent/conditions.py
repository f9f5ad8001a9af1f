"""Latents under another condition, at another temperature, or partly drawn anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn.conditions import stateless_seed
from tfp_cinn.distribution import ConditionalTransformedDistribution
from tfp_cinn.errors import UsageError

__all__ = ["resample", "sweep", "transfer"]


def transfer(
    dist: ConditionalTransformedDistribution, x: Any, cond: Any, new_cond: Any
) -> tf.Tensor:
    """Decode x under another condition and the same latents: f(f^-1(x; h(cond)); h(new_cond)).

    Maximum likelihood makes z independent of the condition, so z encodes what the condition leaves
    open, the style: a digit's slant and thickness, or a photograph's colors given its lightness.

        transfer(dist, x, labels, tf.range(10)[:, None])   # [10, N, ...]: each x as every class

    The batch dimensions of x `[*batch, *event]` and of both conditions broadcast.

    Source: arXiv 1907.02392, sec. 4; `style_transfer` in the published mnist_cINN/eval.py.
    """
    return dist.decode(dist.encode(x, cond), new_cond)


def sweep(
    dist: ConditionalTransformedDistribution,
    cond: Any,
    temperatures: Sequence[float],
    num_samples: int = 1,
    seed: Any = 0,
) -> tf.Tensor:
    """Sample x = f(T z; h(cond)) for each temperature T, with the same z ~ N(0, I).

    At T = 0 all samples of a condition are f(0), which is neither the mean of the data nor
    necessarily the likeliest x; at 1 they are the model's samples; above 1, z lies where the flow
    saw no data. The published code goes from 0 to 1.5 (`temperature` in mnist_cINN/eval.py).

    Returns:
        `[temperatures, num_samples, *batch, *event]`.
    """
    return tf.stack([dist.sample(cond, num_samples, seed, float(each)) for each in temperatures])


def resample(
    dist: ConditionalTransformedDistribution,
    z: Any,
    cond: Any,
    scale: int,
    seed: Any = 0,
    num_samples: int = 1,
) -> tf.Tensor:
    """Redraw the latents of one resolution: x = f([z_0 | ... | z' | ...]; h(cond)).

    z' ~ N(0, I) replaces z[start:stop] of `dist.bijector.latent_scales[scale]`; the samples show
    what that resolution controls. With `FactorOut`, the first scale is the finest.

    Without `FactorOut`, scale 0 is all of z, `[*batch, *latent event]`.

    Returns:
        `[num_samples, *batch, *event]`.

    Raises:
        UsageError: if there is no such scale.

    Source: L. Dinh et al., arXiv 1605.08803, appendix.
    """
    scales = dist.bijector.latent_scales
    if scale not in range(len(scales)):
        raise UsageError(f"scale: expected 0 to {len(scales) - 1}, got {scale!r}")
    start, stop, _ = scales[scale]
    event = dist.bijector.latent_shape
    z = tf.cast(z, dist.dtype)
    batch = z.shape[: z.shape.rank - len(event)]
    drawn = dist.distribution.sample([num_samples, *batch], seed=stateless_seed(seed))
    index = np.arange(np.prod(event, dtype=int)).reshape(event)
    # Copy the fixed latents, so that they stay bit-identical.
    return dist.decode(tf.where((index >= start) & (index < stop), drawn, z), cond)
