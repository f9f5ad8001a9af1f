"""Makers of subnets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras

from tfp_cinn.errors import UsageError

__all__ = ["MLP", "ConvNet", "MadeLayer", "SubnetMaker", "check_widths"]


@dataclasses.dataclass(eq=False)
class SubnetMaker:
    """Callable from a number of output channels to a new subnet.

    Args:
        hidden: widths of the hidden layers.
        activation: a Keras activation or its name.
        init_std: standard deviation of normal initial weights and biases; None for He-normal
            kernels and zero biases.
        zero_last: whether the output layer starts at zero, so that a coupling starts as the
            identity.
        negative_slope: slope of the "relu" below zero.
        dtype: Keras dtype policy of the layers, such as "mixed_bfloat16" (products in bfloat16,
            weights in float32); None for the current global policy.

    Raises:
        UsageError: if an argument is out of range, or the policy computes in float16.
    """

    hidden: Sequence[int]
    activation: str | Callable[..., Any] = "relu"
    _: dataclasses.KW_ONLY
    init_std: float | None = None
    zero_last: bool = True
    negative_slope: float = 0.0
    dtype: str | None = None

    def __post_init__(self):
        check_widths(self.hidden)
        self.hidden = list(self.hidden)
        self.dtype = _policy_name(self.dtype)
        if self.init_std is not None and not self.init_std >= 0:
            raise UsageError(f"init_std: expected 0 or more, or None, got {self.init_std}")
        try:
            keras.activations.get(self.activation)
        except (TypeError, ValueError):
            raise UsageError(
                f"activation: expected one of Keras or its name, got {self.activation!r}"
            ) from None
        if self.negative_slope and not (self.activation == "relu" and 0 < self.negative_slope < 1):
            raise UsageError(
                "negative_slope: expected 0 to below 1, and 0 with an activation other than relu, "
                f"got {self.negative_slope} with {self.activation!r}"
            )

    def __call__(self, channels_out: int) -> keras.layers.Layer:
        """Return a new subnet with `channels_out` output channels."""
        raise NotImplementedError

    def layer_arguments(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return Keras's arguments for a hidden layer and for the last one."""
        hidden = self._initializers() | {"activation": self.activation, "dtype": self.dtype}
        if self.negative_slope:
            leaky = keras.layers.LeakyReLU(self.negative_slope, dtype=self.dtype)
            hidden["activation"] = leaky
        last = {"kernel_initializer": "zeros"} if self.zero_last else self._initializers()
        return hidden, last | {"dtype": self.dtype}

    def _initializers(self):
        if self.init_std is None:
            return {"kernel_initializer": "he_normal"}
        # An initializer object repeats its numbers; from a config, each layer makes its own.
        normal = keras.initializers.serialize(keras.initializers.RandomNormal(0.0, self.init_std))
        return {"kernel_initializer": normal, "bias_initializer": normal}

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SubnetMaker:
        """Rebuild the maker of a `get_config`."""
        return cls(**config)


class MadeLayer(keras.layers.Layer):
    """Layers of a subnet, saved as its maker, its number of channels and which are frozen."""

    def __init__(
        self, maker: SubnetMaker, channels_out: int, frozen: Sequence[int] = (), **kwargs: Any
    ):
        super().__init__(**{"dtype": maker.dtype} | kwargs)
        self.maker, self.channels_out, self._frozen = maker, channels_out, set(frozen)

    def build(self, input_shape):
        """Build the layers."""
        self.build_layers(input_shape)
        for k, layer in enumerate(self._flatten_layers(include_self=False)):
            if k in self._frozen:
                layer.trainable = False

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        layers = enumerate(self._flatten_layers(include_self=False))
        return super().get_config() | {
            "maker": keras.saving.serialize_keras_object(self.maker),
            "channels_out": self.channels_out,
            "frozen": [k for k, layer in layers if not layer.trainable],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MadeLayer:
        """Rebuild the layer of a `get_config`."""
        return cls(**config | {"maker": keras.saving.deserialize_keras_object(config["maker"])})


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
        return SumOfLayers(self, channels_out) if self.skip else network


@keras.saving.register_keras_serializable("tfp_cinn")
class SumOfLayers(MadeLayer):
    """The layer that `MLP` makes with `skip`: a network plus a linear map."""

    def __init__(self, maker: MLP, channels_out: int, **kwargs: Any):
        super().__init__(maker, channels_out, **kwargs)
        self.one = dataclasses.replace(maker, skip=False)(channels_out)
        _, last = maker.layer_arguments()
        self.other = keras.layers.Dense(channels_out, use_bias=False, **last)

    def build_layers(self, input_shape):
        """Build both."""
        self.one.build(input_shape)
        self.other.build(input_shape)

    def call(self, inputs, training=None):
        """Map `[..., C]` to `[..., channels_out]`."""
        return self.one(inputs, training=training) + self.other(inputs)


@keras.saving.register_keras_serializable("tfp_cinn")
@dataclasses.dataclass(eq=False)
class ConvNet(SubnetMaker):
    """Maker of convolutional subnets: (Conv2D, activation) per hidden layer, then Conv2D.

    Calling it with a number of output channels returns a new `keras.Sequential` that maps
    `[N, H, W, C_in]` to `[N, H, W, channels_out]`, with zero padding.

    Args:
        hidden, activation, init_std, zero_last, negative_slope, dtype: see `SubnetMaker`.
        kernel_size: kernel size of all layers.
    """

    hidden: Sequence[int] = (64,)
    kernel_size: int = dataclasses.field(default=3, kw_only=True)

    def __call__(self, channels_out: int) -> keras.Sequential:
        """Return a new subnet with `channels_out` output channels."""
        hidden, last = self.layer_arguments()
        size = {"kernel_size": self.kernel_size, "padding": "same"}
        layers = [keras.layers.Conv2D(n, **size, **hidden) for n in self.hidden]
        return keras.Sequential([*layers, keras.layers.Conv2D(channels_out, **size, **last)])


def check_widths(hidden: Sequence[int]) -> None:
    """Raise a UsageError unless all hidden layers have at least one unit."""
    if not all(n >= 1 for n in hidden):
        raise UsageError(f"hidden: expected widths of at least 1, got {tuple(hidden)}")


def _policy_name(dtype: str | keras.DTypePolicy | None) -> str:
    try:
        policy = keras.config.dtype_policy() if dtype is None else keras.dtype_policies.get(dtype)
        name, compute = policy.name, policy.compute_dtype
    except (AttributeError, TypeError, ValueError):
        raise UsageError(
            f'dtype: expected a Keras dtype policy such as "mixed_bfloat16", got {dtype!r}'
        ) from None
    if compute == "float16":
        raise UsageError(
            f"dtype: {name} needs its loss scaled, or small gradients vanish; use "
            '"mixed_bfloat16", which has the range of float32'
        )
    return name
