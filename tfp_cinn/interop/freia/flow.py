"""The tensors of a flow's bijectors in a FrEIA graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import keras
import tensorflow_probability as tfp

from tfp_cinn.bijectors import (
    AffineCoupling,
    Chain,
    Embed,
    FactorOut,
    GlowCoupling,
    Select,
    Standardize,
)
from tfp_cinn.errors import UsageError
from tfp_cinn.interop.freia.blocks import BLOCKS
from tfp_cinn.interop.freia.conventions import Convention
from tfp_cinn.interop.freia.entries import Entry, layer_entries

__all__ = ["Flow", "Node", "flow_entries", "flow_of", "network_entries"]

tfb = tfp.bijectors


@dataclasses.dataclass(frozen=True)
class Node:
    """A node of the graph.

    Attributes:
        bijector: its counterpart of ours.
        network: its own conditioning network, if any.
    """

    bijector: tfb.Bijector
    network: keras.Model | None = None


@dataclasses.dataclass(frozen=True)
class Flow:
    """A flow as a FrEIA graph.

    Attributes:
        nodes: those between input and output, from data to latents, without latents that left
            early.
        shared: the conditioning network that several blocks share.
    """

    nodes: list[Node]
    shared: keras.Model | None

    @property
    def couplings(self) -> list[AffineCoupling]:
        """The coupling blocks."""
        return [n.bijector for n in self.nodes if isinstance(n.bijector, AffineCoupling)]

    @property
    def has_one_sided(self) -> bool:
        """Return whether a coupling changes only one half."""
        return any(type(coupling) is AffineCoupling for coupling in self.couplings)

    @property
    def has_own_networks(self) -> bool:
        """Return whether blocks have conditioning networks of their own."""
        return any(node.network is not None for node in self.nodes)

    @property
    def splits(self) -> int:
        """The number of times latents leave early."""
        return sum(isinstance(node.bijector, FactorOut) for node in self.nodes)


def flow_of(bijector: tfb.Bijector) -> Flow:
    """Return the graph that a built bijector corresponds to.

    Raises:
        UsageError: if some part of it has no counterpart in FrEIA.
    """
    shared: list[keras.Model] = []
    nodes = list(_nodes(bijector, shared))
    if not nodes or len(shared) > 1:
        raise UsageError(
            "expected a flow of at least one block, and at most one conditioning network that "
            "several of them share"
        )
    return Flow(nodes, shared[0] if shared else None)


def _nodes(bijector: tfb.Bijector, shared: list[keras.Model]) -> Iterator[Node]:
    match bijector:
        case Chain():
            for member in bijector.bijectors:
                yield from _nodes(member, shared)
        case Standardize():
            pass  # standardized before the network there
        case Select():
            yield from _nodes(bijector.bijector, shared)
        case Embed() if isinstance(bijector.bijector, GlowCoupling):
            yield Node(bijector.bijector, bijector.network)
        case Embed():
            shared.append(bijector.network)
            yield from _nodes(bijector.bijector, shared)
        case FactorOut():
            yield Node(bijector)
            yield from _nodes(bijector.rest, shared)
        case _:
            if type(bijector) not in BLOCKS:
                raise UsageError(
                    f"{bijector.name}: {type(bijector).__name__} has no counterpart in FrEIA"
                )
            yield Node(bijector)


def flow_entries(flow: Flow, convention: Convention) -> list[Entry]:
    """Return the tensors of a flow, named `module_list.N....`.

    Raises:
        UsageError: if some part of it had no counterpart in that generation of FrEIA.
    """
    entries = []
    for number, node in zip(_numbers(flow.nodes, convention), flow.nodes, strict=True):
        name = f"module_list.{number}"
        if node.network is not None:
            entries += network_entries(f"{name}.subnet", node.network)
        entries += BLOCKS[type(node.bijector)](name, node.bijector, convention)
    return entries


def _numbers(nodes: list[Node], convention: Convention) -> list[int]:
    number, numbers = convention.first, []
    for following in [*nodes[1:], None]:
        if following is not None and isinstance(following.bijector, FactorOut):
            number += convention.leaving
        numbers.append(number)
        number += 1
    numbers[-1] += convention.last
    return numbers


def network_entries(name: str, network: keras.Model) -> list[Entry]:
    """Return the tensors of `strided_features` or `strided_vector`, a `Sequential` in PyTorch.

    Raises:
        UsageError: if it is another network.
    """
    if network.name not in ("strided_features", "strided_vector"):
        raise UsageError(f"the conditioning network {network.name} has no counterpart")
    entries, number = [], 0
    for layer in network.layers:
        if layer.weights:
            entries += layer_entries(f"{name}.{number}", layer)
        # PyTorch pads within the convolution.
        if not isinstance(layer, (keras.layers.InputLayer, keras.layers.ZeroPadding2D)):
            number += 1
    return entries
