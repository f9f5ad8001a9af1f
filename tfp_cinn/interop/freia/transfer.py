"""Transfer of weights between our models and FrEIA's."""

from __future__ import annotations

import collections
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from tfp_cinn.errors import UsageError
from tfp_cinn.interop.freia.conditioners import conditioner_part
from tfp_cinn.interop.freia.conventions import NAMES, Convention, conventions
from tfp_cinn.interop.freia.entries import Entry, Part, Weight
from tfp_cinn.interop.freia.flow import Flow, flow_entries, flow_of, network_entries
from tfp_cinn.model import CINN

__all__ = ["export_freia", "import_freia"]

_SHOWN = 5

# Inputs and outputs of the nodes, which the FrEIA of the paper kept as buffers after a call.
_BUFFER = re.compile(r"(^|\.)tmp_var_\d+$")


def import_freia(model: CINN, tensors: Mapping[str, np.ndarray]) -> None:
    """Load the weights of the same network in FrEIA on PyTorch into a model.

    The network is the published one that the model's config stands for, or any flow whose bijectors
    have counterparts in FrEIA (see docs/freia.md). Names may follow the FrEIA of the paper or later
    ones, with any prefix, such as `module.`; both are detected. Of other tensors, permutations and
    Haar wavelets are compared, those that follow from weights and buffers are ignored, and any
    other is an error. Nothing is assigned until everything is checked.

    Neither names nor shapes reveal a network's soft clamp or the slope of its leaky ReLUs: the
    config must state them. A clamp other than the default of that FrEIA gives a warning.

    Args:
        model: the model, changed in place.
        tensors: the state dict, as `tfp_cinn.interop.read_checkpoint` returns it.

    Raises:
        UsageError: if tensors are missing, unexpected, misshapen or wrong (one error names them
            all, up to five of a kind), or a part of the model has no counterpart in FrEIA.
    """
    flow = flow_of(model.bijector)
    tensors = {name: np.asarray(tensor) for name, tensor in tensors.items()}
    found = _understood(model, flow, tensors)
    _check(found, tensors)
    for name, entry in found.entries.items():
        if isinstance(entry, Weight):
            entry.assign(tensors[name])
    _warn_of_clamp(flow, found.convention)


def export_freia(model: CINN, names: str | Iterable[str] = "paper") -> dict[str, np.ndarray]:
    """Return the weights of a model as a state dict of the same network in FrEIA on PyTorch.

    The inverse of `import_freia`: tensors by name, in PyTorch's order of axes, with everything that
    `load_state_dict(strict=True)` needs.

    Args:
        model: the model.
        names: "paper" for the names of the FrEIA of the paper (until February 2021), "pypi" for
            those of FrEIA 0.2 on PyPI, both with the prefixes of the published checkpoints; or the
            list of names to export, such as those of `module.state_dict()`, which may cover only
            part of the network.

    Raises:
        UsageError: if the generation or a name is unknown, or a part of the model has no
            counterpart in FrEIA.
    """
    flow = flow_of(model.bijector)
    if isinstance(names, str):
        parts = _parts(model, flow, next(_conventions(flow, names)))
        return {part.prefix + entry.name: entry.read() for part in parts for entry in part.entries}
    names = list(names)
    entries = _understood(model, flow, names).entries
    unknown = [name for name in names if name not in entries]
    if unknown:
        raise UsageError(f"names: {len(unknown)} have no counterpart ({_some(unknown)})")
    return {name: entries[name].read() for name in names}


class _Candidate(NamedTuple):
    """One reading of the names in a state dict."""

    convention: Convention
    parts: list[Part]
    prefixes: list[str]  # the prefix found for each part
    matches: int  # number of names recognized

    @property
    def entries(self) -> dict[str, Entry]:
        """The entries of all parts by their full names."""
        return {
            prefix + entry.name: entry
            for prefix, part in zip(self.prefixes, self.parts, strict=True)
            for entry in part.entries
        }


def _conventions(flow: Flow, names: str) -> Iterator[Convention]:
    # The published code has classes for subnets of more than one hidden layer.
    classes = any(
        sum(len(weight.shape) > 1 for weight in subnet.weights) > 2
        for coupling in flow.couplings
        for subnet in coupling.layers
    )
    return conventions(names, flow.splits, classes, inserted=flow.has_own_networks)


def _parts(model: CINN, flow: Flow, convention: Convention) -> list[Part]:
    prefix = "module.inn." if flow.has_own_networks else "" if convention.classes else "cinn."
    parts = [Part(prefix, flow_entries(flow, convention))]
    if flow.shared is not None:
        parts.append(Part("module.", network_entries("fc_cond_network", flow.shared)))
    conditioner = conditioner_part(model.conditioner)
    return parts if conditioner is None else [*parts, conditioner]


def _understood(model: CINN, flow: Flow, names: Iterable[str]) -> _Candidate:
    """Return the reading of a state dict that recognizes the most names."""
    candidates = []
    for generation in NAMES:
        for convention in _conventions(flow, generation):
            if convention.one_sided is None and flow.has_one_sided:
                continue
            parts = _parts(model, flow, convention)
            prefixes, matches = zip(*(_located(part, names) for part in parts), strict=True)
            candidates.append(_Candidate(convention, parts, list(prefixes), sum(matches)))
    return max(candidates, key=lambda candidate: candidate.matches)


def _located(part: Part, names: Iterable[str]) -> tuple[str, int]:
    """Return the prefix that finds the most of the part's names, and how many it finds."""
    own = {entry.name for entry in part.entries}
    votes = collections.Counter()
    for name in names:
        start = 0
        while start >= 0:
            if name[start:] in own:
                votes[name[:start]] += 1
            start = name.find(".", start) + 1 or -1
    return votes.most_common(1)[0] if votes else (part.prefix, 0)


def _check(found: _Candidate, tensors: Mapping[str, np.ndarray]) -> None:
    entries = found.entries
    if entries and not found.matches:
        raise UsageError(
            f"none of {len(tensors)} tensors ({_some(tensors)}) has a name of this network, such "
            f"as {next(iter(entries))}; give the file of this network, or rename its tensors"
        )
    unused = {
        prefix + name
        for prefix, part in zip(found.prefixes, found.parts, strict=True)
        for name in part.unused
    }
    missing = [name for name, e in entries.items() if isinstance(e, Weight) and name not in tensors]
    extra = [
        name
        for name in tensors
        if name not in entries and name not in unused and not _BUFFER.search(name)
    ]
    misshapen, unsuitable = [], []
    for name in (name for name in entries if name in tensors):
        entry, tensor = entries[name], tensors[name]
        if tensor.shape != entry.shape:
            misshapen.append(f"{name} {tensor.shape}, expected {entry.shape}")
        elif problem := entry.problem(tensor):
            unsuitable.append(f"{name} is {problem}")
    problems = [
        f"{what} {len(items)} ({_some(items)})"
        for what, items in (
            ("missing", missing), ("extra", extra), ("misshapen", misshapen),
            ("unsuitable", unsuitable),
        )
        if items
    ]  # fmt: skip
    if problems:
        raise UsageError(
            f"expected the {len(entries)} tensors of this network, got {len(tensors)}: "
            f"{'; '.join(problems)}; give the file that belongs to the model's config"
        )


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*names[:_SHOWN], *more])


def _warn_of_clamp(flow: Flow, convention: Convention) -> None:
    expected = "arctan_unscaled" if convention.unscaled_clamp else "arctan"
    for coupling in flow.couplings:
        # Both clamps agree at a bound of 1.
        if coupling.clamp != 1.0 and coupling.clamp_type != expected:
            warnings.warn(
                f"the tensors have the names of a FrEIA whose own soft clamp is {expected!r}, the "
                f"model has {coupling.clamp_type!r}: right if that network was given another one",
                stacklevel=3,
            )
            return
