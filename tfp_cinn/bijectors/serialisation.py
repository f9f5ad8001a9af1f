"""What Keras needs to save a bijector and to rebuild it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras

__all__ = ["is_registered", "restore"]


def is_registered(item: Any) -> bool:
    """Whether a process that has only imported the same packages could rebuild `item`.

    That is, whether its class (or itself, if it is a function) is Keras's own or registered with
    `keras.saving.register_keras_serializable`.
    """
    kind = item if inspect.isfunction(item) else type(item)
    if kind.__module__.split(".")[0] == "keras":
        return True
    return keras.saving.get_registered_object(keras.saving.get_registered_name(kind)) is kind


def restore(value: Any) -> Any:
    """Undoes Keras's serialisation of a constructor's argument."""
    if isinstance(value, Mapping) and "class_name" in value:
        return keras.saving.deserialize_keras_object(value)
    if isinstance(value, list):
        return [restore(v) for v in value]
    return value
