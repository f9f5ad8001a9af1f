"""What Keras needs to save a bijector and to rebuild it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow_probability as tfp

from tfp_cinn.errors import UsageError

__all__ = ["Saved", "constructor_arguments", "restore", "serialize"]


def serialize(owner: str, argument: str, value: Any) -> Any:
    """Return a constructor's argument as JSON and Keras have it; infinity in an array is None.

    Raises:
        UsageError: if a process that has only imported the same packages couldn't rebuild it.
    """
    if isinstance(value, np.ndarray):
        return np.where(np.isfinite(value), value.astype(object), None).tolist()
    if isinstance(value, (list, tuple)):
        return [serialize(owner, argument, v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if not _is_registered(value):
        is_bijector = isinstance(value, tfp.bijectors.Bijector)
        what = "bijector" if is_bijector else argument
        advice = ", or use this package's instead of TFP's (Exp, Softplus, Bounded)" * is_bijector
        raise UsageError(
            f"{owner}: can't save the {what} {getattr(value, 'name', repr(value))}; register its "
            f"class with keras.saving.register_keras_serializable{advice}"
        )
    return keras.saving.serialize_keras_object(value)


def _is_registered(item: Any) -> bool:
    kind = item if inspect.isfunction(item) else type(item)
    if kind.__module__.split(".")[0] == "keras":
        return True
    return keras.saving.get_registered_object(keras.saving.get_registered_name(kind)) is kind


def restore(value: Any) -> Any:
    """Undo `serialize`."""
    if isinstance(value, Mapping) and "class_name" in value:
        return keras.saving.deserialize_keras_object(value)
    if isinstance(value, list):
        return [restore(v) for v in value]
    return value


def constructor_arguments(owner: str, item: Any) -> dict[str, Any]:
    """Return an item's constructor's arguments, serialized: `a` is its attribute `_a` or `a`."""
    config = {}
    for argument in inspect.signature(type(item).__init__).parameters:
        attribute = next((a for a in (f"_{argument}", argument) if hasattr(item, a)), None)
        if attribute is not None:
            config[argument] = serialize(owner, argument, getattr(item, attribute))
    return config


class Saved:
    """What Keras saves as its constructor's arguments."""

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments: `a` is the attribute `_a` or `a`."""
        return constructor_arguments(type(self).__name__, self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Saved:
        """Rebuild the object whose `get_config` this is."""
        return cls(**{key: restore(value) for key, value in config.items()})
