"""The model card: an exported model's inputs and outputs, for programs and for people."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_cinn
from tfp_cinn.errors import UsageError
from tfp_cinn.export.signatures import Feature, Signature, shape_text
from tfp_cinn.model import CINN
from tfp_cinn.tasks.evaluation import from_json

__all__ = ["checked_facts", "make_card", "to_markdown"]

_OWN = {
    "name", "version", "created", "dimensions", "weights", "batch_sizes", "xla", "signatures",
    "made_with",
}  # fmt: skip


def checked_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts for a card as plain JSON values.

    Args:
        facts: see `tfp_cinn.export.export_model`.

    Raises:
        UsageError: if JSON can't hold them, or their names are the card's own.
    """
    taken = sorted(_OWN & facts.keys())
    if taken:
        raise UsageError(f"facts: {', '.join(taken)} are the card's own names; use others")
    try:
        facts = json.loads(json.dumps(facts, allow_nan=False))
    except (RecursionError, TypeError, ValueError) as error:
        raise UsageError(
            f"facts: expected strings, finite numbers, lists and mappings ({error})"
        ) from None
    evaluation = facts.get("evaluation", {})
    names = {figure.name for figure in from_json(evaluation)}
    if names != set(evaluation):
        raise UsageError(
            "facts: expected evaluation to hold a mean and a standard_error for each name, got "
            f"{evaluation!r}"
        )
    return facts


def make_card(
    model: CINN,
    name: str,
    version: int,
    signatures: Sequence[Signature],
    batch_sizes: Sequence[int],
    xla: bool,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what clients of an exported model need to know, ready for JSON.

    Args:
        model: the model.
        name: the name it is served by.
        version: its version.
        signatures: its signatures.
        batch_sizes: the batch sizes of its warm-up, the largest last.
        xla: whether it is compiled by XLA.
        facts: checked facts about its data and quality; all of them go into the card.
    """
    return {
        **facts,
        "name": name,
        "version": version,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "dimensions": model.dimensions,
        "weights": int(sum(w.value.shape.num_elements() for w in model.weights)),
        "batch_sizes": list(batch_sizes),
        "xla": xla,
        "signatures": {
            s.name: {"meaning": s.meaning, "inputs": _rows(s.inputs), "outputs": _rows(s.outputs)}
            for s in signatures
        },
        "made_with": {
            package.__name__: package.__version__ for package in (tfp_cinn, tf, tfp, keras)
        },
    }


def _rows(features: Sequence[Feature]) -> dict[str, dict[str, Any]]:
    return {
        each.name: {"dtype": each.dtype, "shape": [None, *each.shape], "meaning": each.meaning}
        for each in features
    }


def to_markdown(card: Mapping[str, Any]) -> str:
    """Return the card as a Markdown page."""
    said = {"name", "version", "created", "signatures", "made_with", "evaluation"}
    said.add("condition_range")  # numbers for programs
    lines = [
        f"# {card['name']}, version {card['version']}",
        "",
        "A conditional invertible neural network, p(x | cond), exported by "
        f"tfp_cinn {card['made_with']['tfp_cinn']} on {card['created']}.",
        "",
        *(f"- {key.replace('_', ' ')}: {_text(v)}" for key, v in card.items() if key not in said),
        *(f"- {package} {version}" for package, version in card["made_with"].items()),
        "",
        "`sample` answers requests that name no signature. Dimension 0 of every input and output "
        "is the batch, of any size; each row is answered by itself, up to rounding. A row with a "
        "label out of range, a NaN, or a temperature that is negative or not finite comes back as "
        "NaN, or as 0 with `valid` false where a signature has that output.",
    ]
    for name, signature in card["signatures"].items():
        lines += ["", f"## `{name}`: {_text(signature['meaning'])}", ""]
        for side in ("inputs", "outputs"):
            for key, row in signature[side].items():
                kind = f"{row['dtype']} {shape_text(row['shape'])}"
                lines.append(f"- {side[:-1]} `{key}`, {kind}: {_text(row['meaning'])}")
    if card.get("evaluation"):
        lines += ["", "## Measured on test data, with standard errors", ""]
    for each in from_json(card.get("evaluation", {})):
        name = f"{each.name} of {each.of}" if each.of else each.name
        value = f"{each.mean:.4g} ± {each.standard_error:.2g} {each.unit}".rstrip()
        lines.append(f"- {_text(name)}: {value}{f', {_text(each.meaning)}' * bool(each.meaning)}")
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    """Return a value as one line."""
    if isinstance(value, list) and not any(isinstance(part, (list, dict)) for part in value):
        value = ", ".join(map(str, value))
    return " ".join((value if isinstance(value, str) else json.dumps(value)).split())
