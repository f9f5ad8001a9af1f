"""Space to depth."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfp_cinn.bijectors.downsampling import Downsampling

__all__ = ["Squeeze"]


@keras.saving.register_keras_serializable("tfp_cinn")
class Squeeze(Downsampling):
    """Moves blocks of f x f pixels into the channels: `[..., H, W, C]` to `[..., H/f, W/f, f^2 C]`.

        z[i, j, (a f + b) C + c] = x[f i + a, f j + b, c],    log|det dz/dx| = 0

    with a, b = 0 ... f - 1 and c = 0 ... C - 1: all channels of the upper left pixels come first,
    then all of those to their right.

    With f = 2, channel m is channel m of `IRevNetDownsampling` in FrEIA 0.2, the version of the
    paper's published code, and in later ones with `legacy_backend=True`. Without it, later ones
    have at 4 c + 2 a + b what is here at (2 a + b) C + c.

    Source: Jacobsen, Smeulders and Oyallon, "i-RevNet: Deep Invertible Networks", arXiv 1802.07088.

    Args:
        factor: f, an integer of 2 or more.
        name: name of the bijector.

    Raises:
        UsageError: if the factor is something else; when it is built, if H or W isn't divisible by
            it.
    """

    def __init__(self, factor: int = 2, name: str | None = None):
        super().__init__(factor, name=name)

    def _forward_and_log_det(self, z, cond):
        return self._to_space(z), tf.zeros(tf.shape(z)[:1], z.dtype)

    def _inverse_and_log_det(self, x, cond):
        return self._to_channels(x), tf.zeros(tf.shape(x)[:1], x.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"factor": self._factor, "name": self.name}
