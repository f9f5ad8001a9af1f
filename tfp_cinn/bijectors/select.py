"""Picks one part of a condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.bijectors.serialisation import serialise_bijector
from tfp_cinn.errors import UsageError

__all__ = ["Select"]


@keras.saving.register_keras_serializable("tfp_cinn")
class Select(ConditionalBijector):
    """Hands the entry `key` of a dict condition on to a bijector: f(z; cond[key]).

    Args:
        key: which entry of the condition.
        bijector: the bijector that is conditioned on that entry.
        name: name of the bijector.
    """

    def __init__(self, key: str, bijector: ConditionalBijector, name: str | None = None):
        super().__init__(
            bijector.inverse_min_event_ndims, bijector.forward_min_event_ndims, name=name
        )
        self._key = key
        self._bijector = bijector

    @property
    def key(self) -> str:
        """Which entry of the condition is handed on."""
        return self._key

    @property
    def bijector(self) -> ConditionalBijector:
        """The bijector that is conditioned on that entry."""
        return self._bijector

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The Keras layers of the bijector."""
        return self._bijector.layers

    def _build(self, event_shape, cond_shape):
        if not isinstance(cond_shape, Mapping) or self._key not in cond_shape:
            has = sorted(cond_shape) if isinstance(cond_shape, Mapping) else "no keys"
            raise UsageError(
                f"{self.name}: expected a dict condition with key {self._key!r}, got {has}"
            )
        self._bijector.build(event_shape, cond_shape[self._key])

    def _latent_shape(self, event_shape):
        return self._bijector._latent_shape(event_shape)

    def _data_shape(self, latent_shape):
        return self._bijector._data_shape(latent_shape)

    def _latent_scales(self):
        return self._bijector.latent_scales

    def _calibrate(self, x, cond):
        self._bijector._calibrate(x, cond[self._key])

    def _forward_and_log_det(self, z, cond):
        return self._bijector._forward_and_log_det(z, cond[self._key])

    def _inverse_and_log_det(self, x, cond):
        return self._bijector._inverse_and_log_det(x, cond[self._key])

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments.

        Raises:
            UsageError: if Keras couldn't rebuild the bijector.
        """
        bijector = serialise_bijector(self.name, self._bijector)
        return {"key": self._key, "bijector": bijector, "name": self.name}
