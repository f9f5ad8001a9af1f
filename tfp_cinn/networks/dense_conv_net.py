"""Densely connected convolutional subnets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfp_cinn.networks.initialization import (
    activation_of,
    check_widths,
    initializers,
    policy_name,
)

__all__ = ["DenseConvNet"]


@keras.saving.register_keras_serializable("tfp_cinn")
class DenseConvNet:
    """Maker of densely connected convolutional subnets.

    Each hidden layer is given the input and the outputs of all before it, and so is the last one,
    a 1x1 convolution:

        h_k = activation(Conv2D([x, h_1, ..., h_(k-1)])),    y = Conv2D_1x1([x, h_1, ..., h_n])

    Calling it with a number of output channels returns a new Keras layer that maps
    `[N, H, W, C_in]` to `[N, H, W, channels_out]`, with zero padding. The defaults are the subnets
    of the convolutional blocks of the paper's color-MNIST flow.

    Source: Huang et al., "Densely Connected Convolutional Networks", arXiv 1608.06993.

    Args:
        hidden: channels of the hidden layers.
        kernel_size: side of the kernels of the hidden layers.
        activation: name of a Keras activation.
        init_std: standard deviation of the normal from which weights and biases are drawn; None for
            He-normal kernels and zero biases.
        zero_last: whether the output layer starts at zero, by which a coupling starts as the
            identity.
        negative_slope: slope of the "relu" below zero, by which it is a leaky one.
        dtype: Keras dtype policy of the layers, such as "mixed_bfloat16", products in bfloat16 with
            weights in float32; None for Keras's global one, as it is now.

    Raises:
        UsageError: if a width, slope or standard deviation is out of range, or the policy
            doesn't serve.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (64, 64),
        kernel_size: int = 1,
        activation: str = "relu",
        init_std: float | None = None,
        zero_last: bool = True,
        negative_slope: float = 0.01,
        dtype: str | None = None,
    ):
        check_widths(hidden)
        activation_of(activation, negative_slope)
        self.hidden = list(hidden)
        self.kernel_size = kernel_size
        self.activation = activation
        self.init_std = init_std
        self.zero_last = zero_last
        self.negative_slope = negative_slope
        self.dtype = policy_name(dtype)

    def __call__(self, channels_out: int) -> keras.layers.Layer:
        """Returns a new subnet with `channels_out` output channels."""
        inner, last = initializers(self.init_std, self.zero_last)
        inner["activation"] = activation_of(self.activation, self.negative_slope, self.dtype)
        hidden = [
            keras.layers.Conv2D(n, self.kernel_size, padding="same", dtype=self.dtype, **inner)
            for n in self.hidden
        ]
        last = keras.layers.Conv2D(channels_out, 1, dtype=self.dtype, **last)
        return DenselyConnected(hidden, last, dtype=self.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DenseConvNet:
        """Rebuilds the maker of a `get_config`."""
        return cls(**config)


@keras.saving.register_keras_serializable("tfp_cinn")
class DenselyConnected(keras.layers.Layer):
    """What `DenseConvNet` makes.

    Args:
        hidden: the convolutions, each given the input and the outputs of all before it.
        last: the layer after them.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, hidden: list[keras.layers.Layer], last: keras.layers.Layer, **kwargs: Any):
        super().__init__(**kwargs)
        self._names = [f"hidden_{k}" for k in range(len(hidden))]
        # TensorFlow's checkpoints don't look into a Keras layer's lists.
        for name, layer in zip(self._names, hidden, strict=True):
            setattr(self, name, layer)
        self.last = last

    @property
    def hidden(self) -> list[keras.layers.Layer]:
        """The convolutions before the last layer."""
        return [getattr(self, name) for name in self._names]

    def build(self, input_shape):
        """Builds the convolutions."""
        *space, channels = input_shape
        for layer in (*self.hidden, self.last):
            if not layer.built:  # as those of a saved layer are
                layer.build((*space, channels))
            channels += layer.filters

    def call(self, x):
        """Maps `[N, H, W, C]` to `[N, H, W, channels of last]`."""
        for layer in self.hidden:
            x = keras.ops.concatenate([x, layer(x)], axis=-1)
        return self.last(x)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "hidden": [keras.saving.serialize_keras_object(layer) for layer in self.hidden],
            "last": keras.saving.serialize_keras_object(self.last),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DenselyConnected:
        """Rebuilds the layer of a `get_config`."""
        hidden = [keras.saving.deserialize_keras_object(layer) for layer in config["hidden"]]
        last = keras.saving.deserialize_keras_object(config["last"])
        return cls(**config | {"hidden": hidden, "last": last})
