"""New latents at one resolution of a multi-scale flow."""

from __future__ import annotations

import math
import operator
from typing import Any

import tensorflow as tf

from tfp_cinn.conditions import stateless_seed
from tfp_cinn.distribution import ConditionalTransformedDistribution
from tfp_cinn.errors import UsageError
from tfp_cinn.latent.arguments import at_least, check_distribution

__all__ = ["resample"]


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

    Args:
        dist: the distribution of a flow with `FactorOut`; without it, scale 0 is all of z.
        z: `[*batch, *latent event]`.
        cond: the condition; its batch dimensions broadcast against those of z.
        scale: index of the resolution.
        seed: seed of the draws.
        num_samples: number of samples.

    Returns:
        `[num_samples, *batch, *event]`.

    Raises:
        UsageError: if there is no such scale, or another argument doesn't fit.

    Source: L. Dinh et al., arXiv 1605.08803, appendix.
    """
    check_distribution(dist)
    num_samples = at_least("num_samples", num_samples, 1)
    start, stop, _ = _scale(dist, scale)
    event = dist.bijector.latent_shape
    z = tf.cast(tf.convert_to_tensor(z), dist.dtype)
    if z.shape.rank is None or tuple(z.shape[max(0, z.shape.rank - len(event)) :]) != event:
        raise UsageError(f"z: expected latents [..., {', '.join(map(str, event))}], got {z.shape}")
    batch = tf.shape(z)[: z.shape.rank - len(event)]
    drawn = dist.distribution.sample(
        tf.concat([[num_samples], batch], axis=0), seed=stateless_seed(seed)
    )
    index = tf.reshape(tf.range(math.prod(event)), event)
    # Copy the fixed latents, so that they stay bit-identical.
    return dist.decode(tf.where((index >= start) & (index < stop), drawn, z), cond)


def _scale(dist, scale):
    scales = dist.bijector.latent_scales
    try:
        number = operator.index(scale)
    except TypeError:
        number = -1
    if not 0 <= number < len(scales):
        exist = ", ".join(f"{k} ({'x'.join(map(str, s.shape))})" for k, s in enumerate(scales))
        raise UsageError(f"scale: expected one that exists, {exist}, got {scale!r}")
    return scales[number]
