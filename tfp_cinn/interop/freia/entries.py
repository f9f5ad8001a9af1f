"""Tensors of a PyTorch state dict and their counterparts in our models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from tfp_cinn.bijectors.shapes import Shape
from tfp_cinn.errors import UsageError

__all__ = ["Constant", "Entry", "Part", "Weight", "layer_entries", "vector"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weight:
    """A weight of our model, with its axes in another order.

    Attributes:
        name: name of the tensor within its part of the state dict.
        shape: its shape in PyTorch.
        variable: the weight.
        view: its shape with flattened axes separated.
        axes: the axes of `view` in PyTorch's order.
        check: given a tensor, returns what is wrong with it, or None.
    """

    name: str
    shape: Shape
    variable: keras.Variable
    view: Shape
    axes: tuple[int, ...]
    check: Callable[[np.ndarray], str | None] | None = None

    def read(self) -> np.ndarray:
        """Return the tensor of our model."""
        value = self.variable.numpy().reshape(self.view)
        return np.ascontiguousarray(value.transpose(self.axes)).reshape(self.shape)

    def assign(self, tensor: np.ndarray) -> None:
        """Assign a tensor of the right shape to the weight."""
        value = tensor.reshape([self.view[axis] for axis in self.axes])
        value = value.transpose(np.argsort(self.axes))
        self.variable.assign(value.reshape(self.variable.shape))

    def problem(self, tensor: np.ndarray) -> str | None:
        """Return what is wrong with a tensor of the right shape, or None."""
        if not np.issubdtype(tensor.dtype, np.floating):
            return f"of dtype {tensor.dtype}, not floating point"
        if not np.isfinite(tensor).all():
            return "NaN or infinite"
        return self.check(tensor) if self.check else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant:
    """A tensor that follows from the network: written on export, ignored or compared on import.

    Attributes:
        name: name of the tensor within its part of the state dict.
        value: the tensor.
        wrong: what a tensor of other values is; None if they don't matter.
    """

    name: str
    value: np.ndarray
    wrong: str | None = None

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return self.value.shape

    def read(self) -> np.ndarray:
        """Return the tensor."""
        return self.value

    def problem(self, tensor: np.ndarray) -> str | None:
        """Return what is wrong with a tensor of the right shape, or None."""
        return None if np.array_equal(tensor, self.value) else self.wrong


Entry = Weight | Constant


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
                Constant(name=f"{name}.num_batches_tracked", value=np.array(0, np.int64)),
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
