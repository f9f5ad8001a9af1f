"""What the makers of subnets have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from tfp_cinn.errors import UsageError

__all__ = ["activation_of", "check_widths", "initializers", "policy_name"]


def activation_of(
    activation: str, negative_slope: float, dtype: str | None = None
) -> str | Callable[..., Any]:
    """A Keras layer's activation argument: the named one, or a ReLU that leaks.

    Raises:
        UsageError: if another activation than "relu" is to leak, or the slope is out of range.
    """
    if not negative_slope:
        return activation
    if activation != "relu" or not 0 < negative_slope < 1:
        raise UsageError(
            'negative_slope: expected 0 to below 1, and 0 with an activation other than "relu", '
            f"got {negative_slope} with {activation!r}"
        )
    return keras.layers.LeakyReLU(negative_slope, dtype=dtype)


def check_widths(hidden: Sequence[int]) -> None:
    """Raises a UsageError unless all hidden layers have at least one unit."""
    if not all(n >= 1 for n in hidden):
        raise UsageError(f"hidden: expected widths of at least 1, got {tuple(hidden)}")


def policy_name(dtype: str | keras.DTypePolicy | None) -> str:
    """Name of a Keras dtype policy, by which it is saved; of the global one now if None.

    Raises:
        UsageError: if there is no such policy, or it computes in float16.
    """
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


def initializers(init_std: float | None, zero_last: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keras initializer arguments of the hidden layers and of the last one.

    Args:
        init_std: None for He-normal kernels; else the standard deviation of a normal for kernels
            and biases.
        zero_last: whether the last layer starts at zero instead.

    Raises:
        UsageError: if the standard deviation is negative.
    """
    if init_std is not None and not init_std >= 0:
        raise UsageError(f"init_std: expected 0 or more, or None, got {init_std}")

    # An initializer object repeats its numbers at each use: a new one for each layer.
    def normal():
        if init_std is None:
            return {"kernel_initializer": "he_normal"}
        return {
            "kernel_initializer": keras.initializers.RandomNormal(stddev=init_std),
            "bias_initializer": keras.initializers.RandomNormal(stddev=init_std),
        }

    return normal(), {"kernel_initializer": "zeros"} if zero_last else normal()
