"""Dense subnets."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras

from tfp_cinn.errors import UsageError
from tfp_cinn.networks.subnet_maker import SubnetMaker

__all__ = ["MLP"]


@keras.saving.register_keras_serializable("tfp_cinn")
@dataclasses.dataclass(eq=False)
class MLP(SubnetMaker):
    """Maker of fully connected subnets: (Dense, activation) per hidden layer, then Dense.

    Calling it with a number of output channels returns a new layer that maps `[..., C_in]` to
    `[..., channels_out]`. The paper's minimal MNIST example has `init_std=0.01`.

    Args:
        hidden, activation, init_std, zero_last, negative_slope, dtype: see `SubnetMaker`.
        dropout: dropout rate after each hidden activation, in training only.
        skip: whether to add a linear map of the input, so that what is linear needn't be made of
            activations: it is learned from fewer data.

    Raises:
        UsageError: if an argument is out of range, or the policy computes in float16.
    """

    hidden: Sequence[int] = (512,)
    dropout: float = dataclasses.field(default=0.0, kw_only=True)
    skip: bool = dataclasses.field(default=False, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout: expected a rate from 0 to below 1, got {self.dropout}")

    def __call__(self, channels_out: int) -> keras.layers.Layer:
        """Return a new subnet with `channels_out` outputs."""
        hidden, last = self.layer_arguments()
        layers = []
        for units in self.hidden:
            layers.append(keras.layers.Dense(units, **hidden))
            if self.dropout:
                layers.append(keras.layers.Dropout(self.dropout, dtype=self.dtype))
        network = keras.Sequential([*layers, keras.layers.Dense(channels_out, **last)])
        if not self.skip:
            return network
        linear = keras.layers.Dense(channels_out, use_bias=False, **last)
        return SumOfLayers(network, linear, dtype=self.dtype)


class SumOfLayers(keras.layers.Layer):
    """The sum of two layers of one input."""

    def __init__(self, one: keras.layers.Layer, other: keras.layers.Layer, dtype: str | None):
        super().__init__(dtype=dtype)
        self.one, self.other = one, other

    def build(self, input_shape):
        self.one.build(input_shape)
        self.other.build(input_shape)

    def call(self, inputs, training=None):
        return self.one(inputs, training=training) + self.other(inputs)
