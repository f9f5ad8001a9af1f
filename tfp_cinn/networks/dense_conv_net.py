"""Densely connected convolutional subnets."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from tfp_cinn.networks.subnets import MadeLayer, SubnetMaker

__all__ = ["DenseConvNet"]


@keras.saving.register_keras_serializable("tfp_cinn")
@dataclasses.dataclass(eq=False)
class DenseConvNet(SubnetMaker):
    """Maker of densely connected convolutional subnets.

    Every layer takes the input and the outputs of all previous layers; the last is a 1x1
    convolution:

        h_k = activation(Conv2D([x, h_1, ..., h_(k-1)])),    y = Conv2D_1x1([x, h_1, ..., h_n])

    Calling it with a number of output channels returns a new Keras layer that maps
    `[N, H, W, C_in]` to `[N, H, W, channels_out]`, with zero padding. The defaults are the subnets
    of the convolutional blocks of the paper's color-MNIST flow.

    Source: Huang et al., "Densely Connected Convolutional Networks", arXiv 1608.06993.

    Args:
        hidden, activation, init_std, zero_last, negative_slope, dtype: see `SubnetMaker`.
        kernel_size: kernel size of the hidden layers.
    """

    hidden: Sequence[int] = (64, 64)
    _: dataclasses.KW_ONLY
    negative_slope: float = 0.01
    kernel_size: int = 1

    def __call__(self, channels_out: int) -> keras.layers.Layer:
        """Return a new subnet with `channels_out` output channels."""
        return DenselyConnected(self, channels_out)


@keras.saving.register_keras_serializable("tfp_cinn")
class DenselyConnected(MadeLayer):
    """The layer that `DenseConvNet` makes."""

    def __init__(self, maker: DenseConvNet, channels_out: int, **kwargs: Any):
        super().__init__(maker, channels_out, **kwargs)
        hidden, last = maker.layer_arguments()
        size = {"kernel_size": maker.kernel_size, "padding": "same"}
        self._names = [f"hidden_{k}" for k in range(len(maker.hidden))]
        # TensorFlow's checkpoints don't look into a Keras layer's lists.
        for name, channels in zip(self._names, maker.hidden, strict=True):
            setattr(self, name, keras.layers.Conv2D(channels, **size, **hidden))
        self.last = keras.layers.Conv2D(channels_out, 1, **last)

    @property
    def hidden(self) -> list[keras.layers.Layer]:
        """The convolutions before the last layer."""
        return [getattr(self, name) for name in self._names]

    def build_layers(self, input_shape):
        """Build the convolutions."""
        *space, channels = input_shape
        for layer in (*self.hidden, self.last):
            layer.build((*space, channels))
            channels += layer.filters

    def call(self, x):
        """Map `[N, H, W, C]` to `[N, H, W, channels_out]`."""
        for layer in self.hidden:
            x = keras.ops.concatenate([x, layer(x)], axis=-1)
        return self.last(x)
