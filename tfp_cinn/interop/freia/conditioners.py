"""The tensors of the published networks' conditioners."""

from __future__ import annotations

import keras

from tfp_cinn.errors import UsageError
from tfp_cinn.interop.freia.entries import Entry, Part, layer_entries

__all__ = ["conditioner_part"]

_ZHANG_BLOCKS = (2, 2, 3, 3, 3, 3, 3)  # convolutions before each batch normalization


def conditioner_part(conditioner: keras.layers.Layer | None) -> Part | None:
    """Return the part of a state dict that holds a conditioner; None if it has no weights.

    Raises:
        UsageError: if it isn't a published conditioner.
    """
    if conditioner is None or not conditioner.weights:
        return None
    if conditioner.name not in _PARTS:
        raise UsageError(
            f"the conditioner {conditioner.name} has no counterpart; expected one of "
            f"{', '.join(_PARTS)}, or one without weights"
        )
    return _PARTS[conditioner.name](conditioner)


def _weighted(network: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in network.layers if layer.weights]


def _after_flattening(name: str, network: keras.Model, layer: keras.layers.Dense) -> list[Entry]:
    """Return the tensors of the dense layer that takes flattened feature maps."""
    (flatten,) = (each for each in network.layers if isinstance(each, keras.layers.Flatten))
    return layer_entries(name, layer, flatten.input.shape[1:])


def _feature_pyramid(network: keras.Model) -> Part:
    layers, entries = _weighted(network), []
    levels = [key for key in network.output if key != "vector"]
    done = 0
    for k, level in enumerate(levels):
        until = len(_weighted(keras.Model(network.input, network.output[level])))
        for n, layer in enumerate(layers[done:until]):
            # Leaky ReLUs separate all convolutions, also across levels.
            entries += layer_entries(f"resolution_levels.{k}.{2 * n + (k > 0)}", layer)
        done = until
    if "vector" in network.output:
        # After a leaky ReLU, the pooling and the flattening.
        name = f"resolution_levels.{len(levels)}.3"
        entries += _after_flattening(name, network, layers[-1])
    return Part("cond_net.", entries)


def _digit_features(network: keras.Model) -> Part:
    convs = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    denses = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    entries = []
    for n, layer in enumerate(convs):
        entries += layer_entries(f"conv.{n + n // 2}", layer)  # pooling after every other one
    for n, layer in enumerate(denses):
        name = f"linear.{2 * n + 1}"  # dropout before each
        entries += _after_flattening(name, network, layer) if n == 0 else layer_entries(name, layer)
    return Part("cond.", entries, ("fc_final.weight", "fc_final.bias"))


def _zhang_features(network: keras.Model) -> Part:
    layers = iter(_weighted(network))
    entries = []
    for block, depth in enumerate(_ZHANG_BLOCKS, start=1):
        for n in range(1, depth + 1):
            name = "bw_conv1_1" if (block, n) == (1, 1) else f"conv{block}_{n}"
            entries += layer_entries(name, next(layers))
        entries += layer_entries(f"conv{block}_{depth}norm", next(layers))
    for n, layer in enumerate(layers, start=1):
        entries += layer_entries(f"conv8_{n}", layer)
    # Its color classifier, used only for pretraining.
    unused = [
        f"{name}.{kind}" for name in ("conv8_313", "class8_ab") for kind in ("weight", "bias")
    ]
    return Part("module.feature_network.", entries, tuple(unused))


_PARTS = {
    "digit_features": _digit_features,
    "feature_pyramid": _feature_pyramid,
    "zhang_features": _zhang_features,
}
