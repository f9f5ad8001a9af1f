"""Densely connected convolutional subnets."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras

from tfp_cinn.networks.subnet_maker import SubnetMaker

__all__ = ["DenseConvNet"]


@keras.saving.register_keras_serializable("tfp_cinn")
@dataclasses.dataclass(eq=False)
class DenseConvNet(SubnetMaker):
    """Maker of densely connected convolutional subnets.

    Each hidden layer is given the input and the outputs of all before it, and so is the last one,
    a 1x1 convolution:

        h_k = activation(Conv2D([x, h_1, ..., h_(k-1)])),    y = Conv2D_1x1([x, h_1, ..., h_n])

    Calling it with a number of output channels returns a new Keras layer that maps
    `[N, H, W, C_in]` to `[N, H, W, channels_out]`, with zero padding. The defaults are the subnets
    of the convolutional blocks of the paper's color-MNIST flow.

    Source: Huang et al., "Densely Connected Convolutional Networks", arXiv 1608.06993.

    Args:
        hidden, activation, init_std, zero_last, negative_slope, dtype: of `SubnetMaker`.
        kernel_size: side of the kernels of the hidden layers.

    Raises:
        UsageError: if an argument is out of range, or the policy computes in float16.
    """

    hidden: Sequence[int] = (64, 64)
    _: dataclasses.KW_ONLY
    negative_slope: float = 0.01
    kernel_size: int = 1

    def __call__(self, channels_out: int) -> keras.layers.Layer:
        """Return a new subnet with `channels_out` output channels."""
        hidden, last = self.layer_arguments()
        size = {"kernel_size": self.kernel_size, "padding": "same"}
        layers = [keras.layers.Conv2D(n, **size, **hidden) for n in self.hidden]
        last = keras.layers.Conv2D(channels_out, 1, **last)
        return _DenselyConnected(layers, last, self.dtype)


class _DenselyConnected(keras.layers.Layer):
    """What `DenseConvNet` makes; saved by way of its maker."""

    def __init__(self, hidden: list[keras.layers.Layer], last: keras.layers.Layer, dtype: str):
        # TensorFlow takes no leading underscore.
        super().__init__(name="densely_connected", dtype=dtype)
        self.hidden, self.last = hidden, last

    def call(self, x):
        for layer in self.hidden:
            x = keras.ops.concatenate([x, layer(x)], axis=-1)
        return self.last(x)
