"""Resolution for channels."""

from __future__ import annotations

import math
import operator

import keras
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.errors import UsageError

__all__ = ["Downsampling", "HaarDownsampling", "Squeeze"]


class Downsampling(ConditionalBijector):
    """Encodes images `[..., H, W, C]` as `[..., H/f, W/f, f^2 C]`, f the factor.

    Subclasses choose what is done to a block of f x f pixels; use them instead of this class.

    Args:
        factor: f, an integer of 2 or more.

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
        """Undo `_to_channels`."""
        return tf.nn.depth_to_space(z, self._factor)


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


@keras.saving.register_keras_serializable("tfp_cinn")
class HaarDownsampling(Downsampling):
    r"""Haar wavelet transform of each channel: `[..., H, W, C]` to `[..., H/2, W/2, 4C]`.

    Encoding a block of 2 x 2 pixels p q (upper row) and r s (lower row) with rebalance k:

        w_0 = k/2 (p + q + r + s)    average
        w_1 = k/2 (p - q + r - s)    horizontal difference, left minus right
        w_2 = k/2 (p + q - r - s)    vertical difference, upper minus lower
        w_3 = k/2 (p - q - r + s)    diagonal difference
        log|det dz/dx| = H W C log(k)

    and decoding with the same signs and the factor 1 / (2k). At k = 1 the transform is orthogonal
    and w_0 twice the mean of its block; k = 1/2, as in the paper's published code, makes it the
    mean, so that values don't grow with every downsampling.

    Wavelet w of channel c becomes channel 4 c + w of z, so that the four wavelets of one channel
    are neighbors; with `order_by_wavelet` it becomes channel w C + c: all averages first, so that
    `FactorOut(keep=C)` keeps the averages. Signs, factors and both orders are those of FrEIA's
    `HaarDownsampling`.

    Source: arXiv 1907.02392, paragraph "Haar wavelet downsampling".

    Args:
        rebalance: k, positive and finite.
        order_by_wavelet: whether the channels of z are grouped by wavelet.

    Raises:
        UsageError: if rebalance is out of range; when it is built, if H or W is odd.
    """

    def __init__(
        self, rebalance: float = 1.0, order_by_wavelet: bool = False, name: str | None = None
    ):
        if not 0 < rebalance < math.inf:
            raise UsageError(f"rebalance: expected a positive finite factor, got {rebalance}")
        super().__init__(2, name=name)
        self._rebalance = float(rebalance)
        self._order_by_wavelet = bool(order_by_wavelet)

    def _forward_and_log_det(self, z, cond):
        height, width, channels = z.shape[1:]
        if self._order_by_wavelet:
            wavelets = tf.split(z, 4, axis=-1)
        else:
            z = tf.reshape(z, [-1, height, width, channels // 4, 4])
            wavelets = tf.unstack(z, axis=-1)
        x = self._to_space(tf.concat(_butterfly(wavelets), axis=-1))
        return x * (0.5 / self._rebalance), -self._log_det(z)

    def _inverse_and_log_det(self, x, cond):
        wavelets = _butterfly(tf.split(self._to_channels(x), 4, axis=-1))
        if self._order_by_wavelet:
            z = tf.concat(wavelets, axis=-1)
        else:
            z = tf.reshape(tf.stack(wavelets, axis=-1), [-1, *self._latent_shape(x.shape[1:])])
        return z * (0.5 * self._rebalance), self._log_det(x)

    def _log_det(self, x):
        total = math.prod(x.shape[1:]) * math.log(self._rebalance)
        return tf.fill(tf.shape(x)[:1], tf.constant(total, x.dtype))


# Sums rather than a product with the signs, since GPUs may round the factors of products to TF32.
# On a CPU a grouped convolution would save 1 to 2 ms for 32 images of 64 x 64 x 2.
def _butterfly(parts: list[tf.Tensor]) -> list[tf.Tensor]:
    """Multiply four tensors by the Haar matrix of signs, which is four times its own inverse."""
    p, q, r, s = parts
    upper, lower, upper_step, lower_step = p + q, r + s, p - q, r - s
    return [upper + lower, upper_step + lower_step, upper - lower, upper_step - lower_step]
