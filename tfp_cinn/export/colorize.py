"""The signature of exported colorization models that colors whole photographs."""

from __future__ import annotations

import math

import tensorflow as tf

from tfp_cinn.color import split_lab, to_rgb
from tfp_cinn.distribution import scaled
from tfp_cinn.export.signatures import Feature, Signature, noise
from tfp_cinn.model import CINN

__all__ = ["colorize"]


def colorize(model: CINN) -> Signature:
    """Make the signature `colorize`, which colors gray images of one size at full resolution.

    As in `tfp_cinn.tasks`, the flow sees lightness at the size of its condition, and the color it
    samples is upsampled along the edges of lightness. A row with a gray level out of range, or a
    temperature that is negative or not finite, becomes all NaN. Images smaller than the condition
    fail the whole request.

    Args:
        model: a colorization model, of ab given L in the units of CIE Lab.
    """
    dist = model.distribution
    dtype = dist.dtype.name
    latent_shape = model.bijector.latent_shape
    height, width, _ = model.cond_shape

    def function(gray, seeds, temperatures):
        rows, columns = tf.shape(gray)[1], tf.shape(gray)[2]
        large = (rows >= height) & (columns >= width)
        said = f"expected images of at least {width} x {height} pixels, got"
        with tf.control_dependencies([tf.Assert(large, [said, columns, "x", rows])]):
            parts = split_lab(tf.repeat(gray, 3, axis=3), (height, width))
        latents = scaled(noise(seeds, latent_shape, dtype), temperatures, len(latent_shape))
        ab = dist.decode(latents, parts.small_L)
        valid = tf.reduce_all((gray >= 0) & (gray <= 1), axis=[1, 2, 3], keepdims=True)
        valid &= tf.reduce_all(tf.math.is_finite(ab), axis=[1, 2, 3], keepdims=True)
        rgb = to_rgb(parts.L, tf.where(valid, ab, 0.0))
        return tf.where(valid, rgb, tf.constant(math.nan, dtype))

    return Signature(
        "colorize",
        "draws colors for gray photographs",
        (
            Feature("gray", dtype, (None, None, 1), "sRGB gray levels, 0 to 1", model.cond_shape),
            Feature("seed", "int32", (2,), "any two integers; the same give the same colors"),
            Feature("temperature", dtype, (), "factor on the latents, 0 or more; 1 for p"),
        ),
        Feature("rgb", dtype, (None, None, 3), "sRGB, 0 to 1"),
        function,
    )
