"""Where in z the latents of one resolution lie."""

from __future__ import annotations

from typing import NamedTuple

from tfp_cinn.bijectors.shapes import Shape

__all__ = ["LatentScale"]


class LatentScale(NamedTuple):
    """The latents of one scale: `z[..., start:stop]` of a z whose event is flattened.

    Attributes:
        start: index of the first of them.
        stop: index after the last.
        shape: the shape that they had before they were flattened, such as `(H, W, C)`.
    """

    start: int
    stop: int
    shape: Shape
