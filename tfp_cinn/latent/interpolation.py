"""Paths from one latent to another."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn.errors import UsageError
from tfp_cinn.latent.arguments import at_least

__all__ = ["interpolate"]

KINDS = ("linear", "spherical")


def interpolate(z0: Any, z1: Any, steps: int, kind: str = "linear") -> tf.Tensor:
    r"""Return latents from z0 to z1 in equal steps, both ends included.

    For t = 0, 1/(steps - 1), ..., 1, with u = z / |z| and Omega the angle between z0 and z1:

        linear:     z(t) = (1 - t) z0 + t z1
        spherical:  z(t) = r(t) (sin((1 - t) Omega) u0 + sin(t Omega) u1) / sin Omega
                    r(t) = (1 - t) |z0| + t |z1|

    Draws of N(0, I) in D dimensions lie near the sphere of radius sqrt(D), and any two are nearly
    orthogonal. The linear path cuts through the ball: halfway, its norm is about sqrt(D / 2), where
    there are no draws, and it decodes to images like those of temperature 0.7. The norms along the
    spherical path stay between those of its ends. The published code interpolates linearly
    (`interpolation` in mnist_cINN/eval.py).

    Where the spherical formula is undefined: a zero vector takes the direction of the other end, so
    the path is straight; opposite directions are joined through an orthogonal one, made from the
    axis on which z0 is smallest; in one dimension there is none, and the path is straight.

    Args:
        z0: `[*batch, D]`; batch dimensions broadcast.
        z1: `[*batch, D]`.
        steps: number of latents, 2 or more.
        kind: `linear` or `spherical`.

    Returns:
        `[steps, *batch, D]`; the first is z0 and the last z1, exactly.

    Raises:
        UsageError: if shapes don't fit, or steps or kind are out of range.

    Source: K. Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985 (slerp);
    T. White, "Sampling generative networks", arXiv 1609.04468 (for latents).
    """
    steps = at_least("steps", steps, 2)
    if kind not in KINDS:
        raise UsageError(f"kind: expected {' or '.join(KINDS)}, got {kind!r}")
    z0, z1 = _as_pair(z0, z1)
    inner = np.linspace(0, 1, steps)[1:-1].reshape(-1, *[1] * z0.shape.rank)
    t = tf.constant(inner, z0.dtype)
    path = _slerp(z0, z1, t) if kind == "spherical" else (1 - t) * z0 + t * z1
    return tf.concat([z0[tf.newaxis], path, z1[tf.newaxis]], axis=0)


def _as_pair(z0, z1):
    """Return both as floats of one dtype and shape."""
    z0, z1 = (z if tf.is_tensor(z) else np.asarray(z) for z in (z0, z1))
    dtype = next((z.dtype for z in (z0, z1) if tf.as_dtype(z.dtype).is_floating), tf.float32)
    z0, z1 = (tf.cast(z, dtype) for z in (z0, z1))
    if not z0.shape.rank or not z1.shape.rank or z0.shape[-1] != z1.shape[-1]:
        raise UsageError(
            f"z0, z1: expected [..., D] of one D, got shapes {z0.shape} and {z1.shape}"
        )
    try:
        tf.broadcast_static_shape(z0.shape, z1.shape)
    except ValueError:
        raise UsageError(
            f"z0, z1: batch dimensions of {z0.shape} and {z1.shape} don't broadcast"
        ) from None
    shape = tf.broadcast_dynamic_shape(tf.shape(z0), tf.shape(z1))
    return tf.broadcast_to(z0, shape), tf.broadcast_to(z1, shape)


def _slerp(z0, z1, t):
    """Return the spherical path: a rotation from u0 toward v, the part of u1 orthogonal to it."""
    norm0, norm1 = (tf.norm(z, axis=-1, keepdims=True) for z in (z0, z1))
    u0, u1 = tf.math.divide_no_nan(z0, norm0), tf.math.divide_no_nan(z1, norm1)
    u0, u1 = tf.where(norm0 > 0, u0, u1), tf.where(norm1 > 0, u1, u0)
    # Unlike arccos of the inner product, accurate for small angles and near-opposite directions.
    angle = 2 * tf.atan2(_norm(u0 - u1), _norm(u0 + u1))
    v = _across(u1, u0)
    epsilon = np.finfo(z0.dtype.as_numpy_dtype).eps
    # Below this, v is only rounding error. Opposites can take any v; equals don't use it.
    degenerate = _norm(v) < 8 * epsilon
    axis = tf.one_hot(tf.argmin(tf.abs(u0), axis=-1), tf.shape(u0)[-1], dtype=z0.dtype)
    v = tf.where(degenerate, _across(axis, u0), v)
    v = tf.math.divide_no_nan(v, _norm(v))
    turned = (1 - t) * norm0 + t * norm1
    turned *= tf.cos(t * angle) * u0 + tf.sin(t * angle) * v
    # In one dimension nothing is orthogonal.
    return tf.where(_norm(v) > 0, turned, (1 - t) * z0 + t * z1)


def _across(vector, u):
    """Return the part of a vector that is orthogonal to a unit vector."""
    return vector - tf.reduce_sum(vector * u, axis=-1, keepdims=True) * u


def _norm(vector):
    return tf.norm(vector, axis=-1, keepdims=True)
