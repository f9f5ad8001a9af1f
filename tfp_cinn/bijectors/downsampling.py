"""Resolution for channels: what the image bijectors have in common."""

from __future__ import annotations

import operator

import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.errors import UsageError

__all__ = ["Downsampling"]


class Downsampling(ConditionalBijector):
    """Encodes images `[..., H, W, C]` as `[..., H/f, W/f, f^2 C]`, f the factor.

    Subclasses choose what is done to a block of f x f pixels; use them instead of this class.

    Args:
        factor: f, an integer of 2 or more.
        name: name of the bijector.

    Raises:
        UsageError: if the factor is something else; when it is built, if H or W isn't divisible by
            it.
    """

    conditional = False

    def __init__(self, factor: int, name: str | None = None):
        try:
            self._factor = operator.index(factor)
        except TypeError:
            self._factor = 0
        if self._factor < 2:
            raise UsageError(f"factor: expected an integer of 2 or more, got {factor!r}")
        super().__init__(3, name=name)

    def _build(self, event_shape, cond_shape):
        self._latent_shape(event_shape)

    def _latent_shape(self, event_shape):
        f = self._factor
        if len(event_shape) != 3 or any(n % f for n in event_shape[:2]):
            raise UsageError(
                f"{self.name}: expected images [H, W, C] with H and W divisible by {f}, got shape "
                f"{event_shape}; crop or pad them first"
            )
        height, width, channels = event_shape
        return (height // f, width // f, channels * f**2)

    def _data_shape(self, latent_shape):
        f = self._factor
        if len(latent_shape) != 3 or latent_shape[2] % f**2:
            raise UsageError(
                f"{self.name}: expected latents [H, W, C] with C divisible by {f**2}, got shape "
                f"{latent_shape}"
            )
        height, width, channels = latent_shape
        return (height * f, width * f, channels // f**2)

    def _to_channels(self, x: tf.Tensor) -> tf.Tensor:
        """Pixel (a, b) of each block becomes channels (a f + b) C to (a f + b + 1) C - 1."""
        return tf.nn.space_to_depth(x, self._factor)

    def _to_space(self, z: tf.Tensor) -> tf.Tensor:
        """Undoes `_to_channels`."""
        return tf.nn.depth_to_space(z, self._factor)
