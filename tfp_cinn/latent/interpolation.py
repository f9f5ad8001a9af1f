"""Paths from one latent to another."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfp_cinn.errors import UsageError

__all__ = ["interpolate"]

_SMALLEST_SINE = 1e-6
"""Of the angle between two latents, below which float64 can't tell a plane of rotation."""


def interpolate(z0: Any, z1: Any, steps: int, kind: str = "linear") -> np.ndarray:
    r"""Return latents from z0 to z1 in equal steps, both ends included.

    For t = 0, 1/(steps - 1), ..., 1, with `u = z / |z|` and Omega the angle between z0 and z1:

        linear:     z(t) = (1 - t) z0 + t z1
        spherical:  z(t) = r(t) (sin((1 - t) Omega) u0 + sin(t Omega) u1) / sin Omega
                    r(t) = (1 - t) |z0| + t |z1|

    Draws of N(0, I) in D dimensions lie near the sphere of radius sqrt(D), and any two are nearly
    orthogonal. The linear path cuts through the ball: halfway, its norm is about sqrt(D / 2), where
    there are no draws, and it decodes to images like those of temperature 0.7. The norms along the
    spherical path stay between those of its ends; where z0 and z1 span no plane, it is straight.
    The published code interpolates linearly (`interpolation` in mnist_cINN/eval.py).

    Returns:
        float32 `[steps, *batch, D]` for z0 and z1 of `[*batch, D]`, which broadcast.

    Raises:
        UsageError: if steps or kind are out of range.

    Source: K. Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985 (slerp);
    T. White, "Sampling generative networks", arXiv 1609.04468 (for latents).
    """
    if steps < 2:
        raise UsageError(f"steps: expected 2 or more, got {steps}")
    if kind not in ("linear", "spherical"):
        raise UsageError(f"kind: expected linear or spherical, got {kind!r}")
    z0, z1 = np.broadcast_arrays(np.asarray(z0, np.float64), np.asarray(z1, np.float64))
    t = np.linspace(0, 1, steps).reshape(-1, *[1] * z0.ndim)
    path = (1 - t) * z0 + t * z1
    if kind == "spherical":
        norm0, norm1 = (np.linalg.norm(z, axis=-1, keepdims=True) for z in (z0, z1))
        with np.errstate(divide="ignore", invalid="ignore"):
            u0, u1 = z0 / norm0, z1 / norm1
            angle = np.arccos(np.clip((u0 * u1).sum(axis=-1, keepdims=True), -1, 1))
            turned = (np.sin((1 - t) * angle) * u0 + np.sin(t * angle) * u1) / np.sin(angle)
        turned *= (1 - t) * norm0 + t * norm1
        path = np.where(np.sin(angle) > _SMALLEST_SINE, turned, path)  # False for NaN
    return np.float32(path)
