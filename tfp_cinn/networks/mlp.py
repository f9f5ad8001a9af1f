"""Dense subnets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfp_cinn.errors import UsageError
from tfp_cinn.networks.initialization import (
    activation_of,
    check_widths,
    initializers,
    policy_name,
)

__all__ = ["MLP"]


@keras.saving.register_keras_serializable("tfp_cinn")
class MLP:
    """Maker of fully connected subnets: Dense - activation, once a hidden layer, then Dense.

    Calling it with a number of output channels returns a new `keras.Sequential` that maps
    `[..., C_in]` to `[..., channels_out]`.

    Args:
        hidden: widths of the hidden layers.
        activation: name of a Keras activation.
        dropout: dropout rate after each hidden activation, in training only.
        init_std: standard deviation of the normal from which weights and biases are drawn (0.01 in
            the paper's minimal MNIST example); None for He-normal kernels and zero biases.
        zero_last: whether the output layer starts at zero, by which a coupling starts as the
            identity.
        negative_slope: slope of the "relu" below zero, by which it is a leaky one.
        dtype: Keras dtype policy of the layers, such as "mixed_bfloat16", products in bfloat16 with
            weights in float32; None for Keras's global one, as it is now.

    Raises:
        UsageError: if a width, rate, slope or standard deviation is out of range, or the policy
            doesn't serve.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (512,),
        activation: str = "relu",
        dropout: float = 0.0,
        init_std: float | None = None,
        zero_last: bool = True,
        negative_slope: float = 0.0,
        dtype: str | None = None,
    ):
        check_widths(hidden)
        activation_of(activation, negative_slope)
        if not 0 <= dropout < 1:
            raise UsageError(f"dropout: expected a rate from 0 to below 1, got {dropout}")
        self.hidden = list(hidden)
        self.activation = activation
        self.dropout = dropout
        self.init_std = init_std
        self.zero_last = zero_last
        self.negative_slope = negative_slope
        self.dtype = policy_name(dtype)

    def __call__(self, channels_out: int) -> keras.Sequential:
        """Returns a new subnet with `channels_out` outputs."""
        inner, last = initializers(self.init_std, self.zero_last)
        activation = activation_of(self.activation, self.negative_slope, self.dtype)
        layers = []
        for units in self.hidden:
            layers.append(
                keras.layers.Dense(units, activation=activation, dtype=self.dtype, **inner)
            )
            if self.dropout:
                layers.append(keras.layers.Dropout(self.dropout, dtype=self.dtype))
        return keras.Sequential(
            [*layers, keras.layers.Dense(channels_out, dtype=self.dtype, **last)]
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MLP:
        """Rebuilds the maker of a `get_config`."""
        return cls(**config)
