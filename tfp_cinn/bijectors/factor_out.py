"""The multi-scale flow's way out."""

from __future__ import annotations

import math
import operator

import keras
import tensorflow as tf

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector, check_ours
from tfp_cinn.bijectors.latent_scale import LatentScale
from tfp_cinn.errors import UsageError

__all__ = ["FactorOut"]


@keras.saving.register_keras_serializable("tfp_cinn")
class FactorOut(ConditionalBijector):
    r"""Lets channels leave as latents and hands the others on to a bijector, g.

    Encoding x of shape `[..., H, W, C]` with n = keep:

        z = [flat(x[..., n:]) | flat(g^-1(x[..., :n]; cond))],    log|det dz/dx| = that of g^-1

    one vector `[..., D]` with D = H W C, whose parts `latent_scales` names. Recursion makes the
    multi-scale flow, g being a chain that may end in the next `FactorOut`:

        FactorOut(keep=2, rest=Chain([HaarDownsampling(), ..., FactorOut(keep=4, rest=...)]))

    z then reads from data to latent as the chain does, the finest scale first and the rest of the
    rest last, as the paper's published code concatenates them. Each part is flattened in the order
    H, W, C.

    Source: Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", arXiv 1605.08803,
    sec. 3.6; the colorization network of arXiv 1907.02392.

    Args:
        keep: number of channels n that go on, at least one and not all.
        rest: g, built here; it is given the condition as it is.
        event_ndims: rank of x without batch dimensions, 1 for vectors `[C]`, 3 for feature maps
            `[H, W, C]`; that of the events of `rest` if not given.

    Raises:
        UsageError: if `rest` isn't a bijector of this package; when it is built, if `keep` or the
            rank of x doesn't fit.
    """

    def __init__(
        self,
        keep: int,
        rest: ConditionalBijector,
        event_ndims: int | None = None,
        name: str | None = None,
    ):
        try:
            keep = operator.index(keep)
        except TypeError:
            raise UsageError(f"keep: expected a number of channels, got {keep!r}") from None
        check_ours("rest", rest)
        if event_ndims is None:
            event_ndims = rest.inverse_min_event_ndims
        super().__init__(event_ndims, 1, name=name)
        self._keep = keep
        self._rest = rest

    @property
    def keep(self) -> int:
        """Number of channels that go on."""
        return self._keep

    @property
    def rest(self) -> ConditionalBijector:
        """The bijector of the channels that go on."""
        return self._rest

    def members(self) -> tuple[ConditionalBijector, ...]:
        """The rest."""
        return (self._rest,)

    def inverse_steps(self, x, cond):
        """Yield the rest with the channels that go on, and the condition."""
        yield self._rest, x[..., : self._keep], cond

    def _build(self, event_shape, cond_shape):
        self._check_rank(event_shape)
        if not 1 <= self._keep < event_shape[-1]:
            raise UsageError(
                f"{self.name}: expected keep to be at least 1 and less than the {event_shape[-1]} "
                f"channels of data of shape {event_shape}, got {self._keep}"
            )
        self._rest.build((*event_shape[:-1], self._keep), cond_shape)
        leaving = (*event_shape[:-1], event_shape[-1] - self._keep)
        self._leaving = self._no_dependency(LatentScale(0, math.prod(leaving), leaving))

    def _latent_shape(self, event_shape):
        return (math.prod(event_shape),)

    def _data_shape(self, latent_shape):
        return self.event_shape

    def _latent_scales(self):
        size = self._leaving.stop
        later = (LatentScale(size + a, size + b, s) for a, b, s in self._rest.latent_scales)
        return (self._leaving, *later)

    def _forward_and_log_det(self, z, cond):
        leaving = tf.reshape(z[:, : self._leaving.stop], [-1, *self._leaving.shape])
        kept = tf.reshape(z[:, self._leaving.stop :], [-1, *self._rest.latent_shape])
        kept, log_det = self._rest._forward_and_log_det(kept, cond)
        return tf.concat([kept, leaving], axis=-1), log_det

    def _inverse_and_log_det(self, x, cond):
        kept, log_det = self._rest._inverse_and_log_det(x[..., : self._keep], cond)
        leaving = tf.reshape(x[..., self._keep :], [-1, self._leaving.stop])
        kept = tf.reshape(kept, [-1, math.prod(self._rest.latent_shape)])
        return tf.concat([leaving, kept], axis=-1), log_det

    def _inverse_vjp(self, z, cond, z_gradient, log_det_gradient, weights):
        shape, size = self._leaving.shape, self._leaving.stop
        kept, gradient = (
            tf.reshape(t[:, size:], [-1, *self._rest.latent_shape]) for t in (z, z_gradient)
        )
        kept, gradient, cond_gradients = self._rest._inverse_vjp(
            kept, cond, gradient, log_det_gradient, weights
        )
        x, x_gradient = (
            tf.concat([t, tf.reshape(flat[:, :size], [-1, *shape])], axis=-1)
            for t, flat in ((kept, z), (gradient, z_gradient))
        )
        return x, x_gradient, cond_gradients
