"""What Keras needs to save a bijector and to rebuild it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow_probability as tfp

from tfp_cinn.errors import UsageError

__all__ = ["is_registered", "restore", "serialize_bijector"]

tfb = tfp.bijectors


def is_registered(item: Any) -> bool:
    """Whether a process that has only imported the same packages could rebuild `item`.

    That is, whether its class (or itself, if it is a function) is Keras's own or registered with
    `keras.saving.register_keras_serializable`.
    """
    kind = item if inspect.isfunction(item) else type(item)
    if kind.__module__.split(".")[0] == "keras":
        return True
    return keras.saving.get_registered_object(keras.saving.get_registered_name(kind)) is kind


def serialize_bijector(owner: str, bijector: tfb.Bijector) -> dict[str, Any]:
    """Keras's serialization of a bijector that is a constructor's argument.

    Args:
        owner: name of the bijector it is a part of, for the error message.
        bijector: the part.

    Raises:
        UsageError: if Keras couldn't rebuild it, such as one of TFP's own.
    """
    if not is_registered(bijector):
        raise UsageError(
            f"{owner}: can't save the bijector {bijector.name}; register its class with "
            "keras.saving.register_keras_serializable, or use this package's (Exp, Softplus, "
            "Bounded, ...) instead of TFP's own"
        )
    return keras.saving.serialize_keras_object(bijector)


def restore(value: Any) -> Any:
    """Undoes Keras's serialization of a constructor's argument."""
    if isinstance(value, Mapping) and "class_name" in value:
        return keras.saving.deserialize_keras_object(value)
    if isinstance(value, list):
        return [restore(v) for v in value]
    return value
