"""Tensors of a PyTorch state dict and their counterparts in our models."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping

import keras
import numpy as np

from tfp_cinn.bijectors.shapes import Shape
from tfp_cinn.errors import UsageError

__all__ = ["Constant", "Entry", "Part", "Weight", "layer_entries", "vector"]

Check = Callable[[np.ndarray, Mapping[str, np.ndarray]], str | None]
"""Given a tensor and its part's tensors by name: what is wrong with it, or None."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry(abc.ABC):
    """A tensor of a state dict.

    Attributes:
        name: its name within its part of the state dict.
        shape: its shape in PyTorch.
        check: what else to check.
    """

    name: str
    shape: Shape
    check: Check | None = None

    @abc.abstractmethod
    def read(self) -> np.ndarray:
        """The tensor as our model has it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weight(Entry):
    """A weight of our model, with its axes in another order.

    Attributes:
        variable: the weight.
        view: its shape with flattened axes separated.
        axes: the axes of `view` in PyTorch's order.
    """

    variable: keras.Variable
    view: Shape
    axes: tuple[int, ...]

    def read(self) -> np.ndarray:
        """The tensor as our model has it."""
        value = self.variable.numpy().reshape(self.view)
        return np.ascontiguousarray(value.transpose(self.axes)).reshape(self.shape)

    def assign(self, tensor: np.ndarray) -> None:
        """Assign a tensor of the right shape to the weight."""
        value = tensor.reshape([self.view[axis] for axis in self.axes])
        value = value.transpose(np.argsort(self.axes))
        self.variable.assign(value.reshape(self.variable.shape))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant(Entry):
    """A constant of the network: written on export, checked on import.

    Attributes:
        value: the tensor.
    """

    value: np.ndarray

    def read(self) -> np.ndarray:
        """The tensor as our model has it."""
        return self.value


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a state dict whose names share a prefix.

    Attributes:
        prefix: the prefix in the published checkpoints; other prefixes are detected.
        entries: its tensors, in PyTorch's order.
        unused: names of other tensors to ignore.
    """

    prefix: str
    entries: list[Entry]
    unused: tuple[str, ...] = ()


def layer_entries(
    name: str, layer: keras.layers.Layer, flattened: Shape | None = None
) -> list[Entry]:
    """Return the tensors of PyTorch's `Linear`, `Conv2d`, `ConvTranspose2d` or `BatchNorm2d`.

    Args:
        name: name of PyTorch's layer.
        layer: our layer.
        flattened: shape `(H, W, C)` of the feature maps that are flattened into a dense layer's
            inputs; PyTorch flattens them with channels first.

    Raises:
        UsageError: if the layer is none of these.
    """
    match layer:
        case keras.layers.Dense():
            view = (*(flattened or layer.kernel.shape[:1]), layer.kernel.shape[1])
            # Outputs first; of the inputs, channels before rows and columns.
            axes = (3, 2, 0, 1) if flattened else (1, 0)
            shape = layer.kernel.shape[::-1]
        case keras.layers.Conv2D() | keras.layers.Conv2DTranspose():
            view, axes = tuple(layer.kernel.shape), (3, 2, 0, 1)
            shape = tuple(view[axis] for axis in axes)
        case keras.layers.BatchNormalization():
            return [
                vector(f"{name}.weight", layer.gamma),
                vector(f"{name}.bias", layer.beta),
                vector(f"{name}.running_mean", layer.moving_mean),
                vector(f"{name}.running_var", layer.moving_variance),
                # A count of training batches that nothing uses.
                Constant(name=f"{name}.num_batches_tracked", shape=(), value=np.array(0, np.int64)),
            ]
        case _:
            raise UsageError(f"the layer {layer.name} has no counterpart in the published networks")
    kernel = Weight(
        name=f"{name}.weight", shape=tuple(shape), variable=layer.kernel, view=view, axes=axes
    )
    return [kernel, vector(f"{name}.bias", layer.bias)]


def vector(name: str, variable: keras.Variable, ndims: int = 0) -> Weight:
    """Make a tensor `[C]`, or `[1, C, 1, ...]` for values of `ndims` dimensions."""
    (size,) = variable.shape
    shape = (1, size, *[1] * (ndims - 1)) if ndims else (size,)
    return Weight(name=name, shape=shape, variable=variable, view=(size,), axes=(0,))
