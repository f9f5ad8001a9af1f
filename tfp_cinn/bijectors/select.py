"""Picks one part of a condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from tfp_cinn.bijectors.condition_adapter import ConditionAdapter
from tfp_cinn.bijectors.conditional_bijector import ConditionalBijector
from tfp_cinn.errors import UsageError

__all__ = ["Select"]


@keras.saving.register_keras_serializable("tfp_cinn")
class Select(ConditionAdapter):
    """Hands the entry `key` of a dict condition on to a bijector: f(z; cond[key]).

    With the key None it hands nothing on, so that a chain may have members that see no condition.

    Args:
        key: which entry of the condition, or None for none.
        bijector: the bijector that is conditioned on that entry.
        name: name of the bijector.
    """

    def __init__(self, key: str | None, bijector: ConditionalBijector, name: str | None = None):
        super().__init__(bijector, name=name)
        self._key = key

    @property
    def key(self) -> str | None:
        """Which entry of the condition is handed on; None for none."""
        return self._key

    @property
    def conditional(self) -> bool:
        """Whether an entry of the condition is handed on."""
        return self._key is not None

    def adapt(self, cond: Any) -> Any:
        """Returns `cond[key]`, or None."""
        return None if self._key is None else cond[self._key]

    def label(self, index: int | None = None) -> str:
        """`Select`, with the key."""
        return f"Select({self._key!r})"

    def _adapted_shape(self, cond_shape):
        if self._key is None:
            return None
        if not isinstance(cond_shape, Mapping) or self._key not in cond_shape:
            has = sorted(cond_shape) if isinstance(cond_shape, Mapping) else "no keys"
            raise UsageError(
                f"{self.name}: expected a dict condition with key {self._key!r}, got {has}"
            )
        return cond_shape[self._key]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments.

        Raises:
            UsageError: if Keras couldn't rebuild the bijector.
        """
        return super().get_config() | {"key": self._key}
