"""How subnets start."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["initialisers"]


def initialisers(init_std: float | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keras initialiser arguments of the hidden layers and of the last one.

    Args:
        init_std: None for He-normal hidden layers and a last layer of zeros; else the standard
            deviation of a normal for all weights and biases.
    """
    if init_std is None:
        return {"kernel_initializer": "he_normal"}, {"kernel_initializer": "zeros"}

    # An initialiser object repeats its numbers at each use: a new one for each layer.
    def normal():
        return {
            "kernel_initializer": keras.initializers.RandomNormal(stddev=init_std),
            "bias_initializer": keras.initializers.RandomNormal(stddev=init_std),
        }

    return normal(), normal()
