"""The tensors of each kind of bijector in its FrEIA counterpart."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow_probability as tfp

from tfp_cinn.bijectors import (
    ActNorm,
    AffineCoupling,
    FactorOut,
    Flatten,
    GlowCoupling,
    HaarDownsampling,
    RandomPermutation,
    SoftPermutation,
    Squeeze,
)
from tfp_cinn.errors import UsageError
from tfp_cinn.interop.freia.conventions import Convention
from tfp_cinn.interop.freia.entries import Constant, Entry, Weight, layer_entries, vector

__all__ = ["BLOCKS"]

tfb = tfp.bijectors

# Rotations are float32 results of a singular value decomposition, accurate to about this.
_ORTHOGONAL = 1e-4


def _glow(name, coupling, convention):
    first, second = coupling.layers
    # In FrEIA's order: the subnet that changes the second half comes first.
    return [
        *_subnet(f"{name}.{convention.subnets[1]}", second, convention),
        *_subnet(f"{name}.{convention.subnets[0]}", first, convention),
    ]


def _affine(name, coupling, convention):
    if convention.one_sided is None:
        raise UsageError(
            f"{coupling.name}: the FrEIA of the paper had two subnets for a one-sided coupling"
        )
    return _subnet(f"{name}.{convention.one_sided}", coupling.layers[0], convention)


def _subnet(name: str, subnet: keras.layers.Layer, convention: Convention) -> list[Entry]:
    if not isinstance(subnet, keras.Sequential):
        hidden, last = getattr(subnet, "hidden", None), getattr(subnet, "last", None)
        if hidden is None or last is None:
            raise UsageError(f"the subnet {subnet.name} has no counterpart")
        layers = {f"conv{n}": layer for n, layer in enumerate([*hidden, last], start=1)}
    elif convention.classes:
        weighted = [layer for layer in subnet.layers if layer.weights]
        layers = dict(zip(_class_names(weighted), weighted, strict=True))
    else:
        layers, number = {}, 0
        for layer in subnet.layers:
            layers[str(number)] = layer
            activation = getattr(layer, "activation", keras.activations.linear)
            number += 1 if activation is keras.activations.linear else 2
    return [
        entry
        for part, layer in layers.items()
        if layer.weights
        for entry in layer_entries(f"{name}.{part}", layer)
    ]


def _class_names(layers: list[keras.layers.Layer]) -> list[str]:
    kind = "fc" if isinstance(layers[0], keras.layers.Dense) else "conv"
    if kind == "fc" and len(layers) == 4:
        return ["fc1", "fc2", "fc2b", "fc3"]
    return [f"{kind}{n}" for n in range(1, len(layers) + 1)]


def _hard_permutation(name, bijector, convention):
    if not convention.permutations:
        return []
    seed = bijector.get_config()["seed"]
    order = np.random.RandomState(seed).permutation(bijector.event_shape[-1])
    wrong = f"another permutation than that of seed {seed}"
    return [
        Constant(name=f"{name}.perm", value=order.astype(np.int64), wrong=wrong),
        Constant(name=f"{name}.perm_inv", value=np.argsort(order).astype(np.int64), wrong=wrong),
    ]


def _rotation(name, bijector, convention):
    (layer,) = bijector.layers
    (q,) = layer.weights
    size = q.shape[0]
    # A 1x1 convolution holds the matrix that multiplies a vector from the left.
    on_maps = len(bijector.event_shape) == 3
    shape = (size, size, 1, 1) if on_maps else (size, size)

    def orthogonal(tensor):
        matrix = np.float64(tensor.reshape(size, size))
        error = np.abs(matrix @ matrix.T - np.eye(size)).max()
        return None if error < _ORTHOGONAL else f"not orthogonal (by {error:.1e})"

    axes = (1, 0) if on_maps else (0, 1)
    matrix = Weight(
        name=f"{name}.M", shape=shape, variable=q, view=(size, size), axes=axes, check=orthogonal
    )
    transposed = np.ascontiguousarray(matrix.read().reshape(size, size).T).reshape(shape)
    # These follow from an orthogonal M.
    return [
        matrix,
        Constant(name=f"{name}.M_inv", value=transposed),
        Constant(name=f"{name}.logDetM", value=np.zeros((), q.dtype)),
    ]


def _haar(name, bijector, convention):
    signs = np.float32(
        [[[1, 1], [1, 1]], [[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]]]
    )
    value = np.tile(signs[:, np.newaxis], (bijector.event_shape[-1], 1, 1, 1))
    wrong = "not the Haar wavelets"
    return [Constant(name=f"{name}.haar_weights", value=value, wrong=wrong)]


def _act_norm(name, bijector, convention):
    log_scale, shift = bijector.layers[0].weights
    ndims = len(bijector.event_shape)
    return [vector(f"{name}.scale", log_scale, ndims), vector(f"{name}.bias", shift, ndims)]


def _flatten(name, bijector, convention):
    if bijector.event_shape[-1] > 1 and not bijector.get_config()["channels_first"]:
        raise UsageError(
            f"{bijector.name}: FrEIA flattens one channel after the other; build the model with "
            "Flatten(channels_first=True)"
        )
    return []


def _squeeze(name, bijector, convention):
    if bijector.get_config()["factor"] != 2:
        raise UsageError(f"{bijector.name}: FrEIA's i-RevNet downsampling is by 2 alone")
    return []


BLOCKS: dict[type, Callable[[str, tfb.Bijector, Convention], list[Entry]]] = {
    ActNorm: _act_norm,
    AffineCoupling: _affine,
    FactorOut: lambda name, bijector, convention: [],
    Flatten: _flatten,
    GlowCoupling: _glow,
    HaarDownsampling: _haar,
    RandomPermutation: _hard_permutation,
    SoftPermutation: _rotation,
    Squeeze: _squeeze,
}
"""For each class, the function from a built bijector and its name in the graph to its entries."""
