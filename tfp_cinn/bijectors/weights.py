"""Keras weights as TensorFlow's variables, listed when asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.ops import resource_variable_ops

from tfp_cinn.errors import UsageError

__all__ = ["Listed", "Spec", "frozen_layers", "set_frozen", "trainable_variables", "variables"]


def variables(layers: Sequence[keras.layers.Layer]) -> tuple[tf.Variable, ...]:
    """Return all weights of the layers, each once."""
    return _unique(w for layer in layers for w in layer.weights)


def trainable_variables(layers: Sequence[keras.layers.Layer]) -> tuple[tf.Variable, ...]:
    """Return the weights that Keras trains now: `layer.trainable = False` is obeyed."""
    return _unique(w for layer in layers for w in layer.trainable_weights)


def _unique(weights):
    return tuple({id(w): w.value for w in weights}.values())


def frozen_layers(layers: Sequence[keras.layers.Layer]) -> list[int]:
    """Return which of the layers and their sublayers, counted in a fixed order, are frozen."""
    return [k for k, layer in enumerate(_flat(layers)) if not layer.trainable]


def set_frozen(layers: Sequence[keras.layers.Layer], frozen: Sequence[int]) -> None:
    """Undo `frozen_layers`."""
    # Keras hands the flag on to sublayers; these come after their parents.
    for k, layer in enumerate(_flat(layers)):
        layer.trainable = k not in frozen


def _flat(layers):
    return [part for layer in layers for part in layer._flatten_layers()]


class Spec(tf.TypeSpec):
    """Tells a walk over a `tf.Module` which variables an object has, at the time of the walk.

    Keras 3 layers aren't modules, so that the walk wouldn't find their weights. What it does look
    into are composite tensors, and a new list of their components is made each time: here the
    weights of what `layers` returns.
    """

    def __init__(self, owner: Any, layers: Callable[[], Sequence[keras.layers.Layer]]):
        self._owner, self._layers = owner, layers

    @property
    def value_type(self):
        """Class of the object."""
        return type(self._owner)

    @property
    def _component_specs(self):
        return tuple(v._type_spec for v in self._to_components(self._owner))

    def _to_components(self, value):
        layers = self._layers()
        trainable = {id(v) for v in trainable_variables(layers)}
        return tuple(v if id(v) in trainable else _frozen(v) for v in variables(layers))

    def _from_components(self, components):
        return self._owner

    def _serialize(self):
        return (id(self._owner),)

    def _deserialize(self, serialization):
        return self

    def placeholder_value(self, placeholder_context):
        """Refuse to be an argument of a `tf.function`."""
        raise UsageError(
            f"a {type(self._owner).__name__} can't be an argument of a tf.function; let the "
            "function close over it"
        )


def _frozen(variable):
    """A view of a frozen variable whose own flag, fixed when it was made, says so as well."""
    if not variable.trainable or not isinstance(
        variable, resource_variable_ops.BaseResourceVariable
    ):
        return variable
    if not hasattr(variable, "_tfp_cinn_frozen"):
        variable._tfp_cinn_frozen = resource_variable_ops.BaseResourceVariable(
            trainable=False,
            shape=variable.shape,
            dtype=variable.dtype,
            handle=variable.handle,
            name=variable.name,
            handle_name=variable.name.split(":")[0],
            unique_id=variable._unique_id,
        )
    return variable._tfp_cinn_frozen


class Listed(tf.__internal__.CompositeTensor):
    """Attribute of a bijector that shows its own weights to a walk over a `tf.Module`."""

    def __init__(self, bijector: Any):
        self._bijector = bijector

    @property
    def _type_spec(self):
        return Spec(self, self._bijector._own_layers)
