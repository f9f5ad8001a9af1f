"""The model card: what an exported model takes and gives, for programs and for people."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_cinn
from tfp_cinn.export.signatures import Feature, Signature
from tfp_cinn.model import CINN

__all__ = ["make_card", "to_markdown", "x_meaning"]


def x_meaning(facts: Mapping[str, Any]) -> str:
    """What x is, from what is known of the data set."""
    if "levels" not in facts:
        return "data, in the units that the model was trained on"
    last = facts["levels"] - 1
    return f"grey levels; level v occupies [v, v + 1), v from 0 to {last}"


def make_card(
    model: CINN,
    name: str,
    version: int,
    signatures: Sequence[Signature],
    batch_sizes: Sequence[int],
    xla: bool,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns what clients of an exported model need to know, ready for JSON.

    Args:
        model: the model.
        name: the name it is served by.
        version: its version.
        signatures: what it answers.
        batch_sizes: the batch sizes that it is warmed up for, the largest last.
        xla: whether it is compiled by XLA.
        facts: what is known of its data and its quality: all of it goes into the card.
    """
    return {
        "name": name,
        "version": version,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        **facts,
        "dimensions": model.dimensions,
        "weights": int(sum(w.value.shape.num_elements() for w in model.weights)),
        "batch_sizes": list(batch_sizes),
        "xla": xla,
        "signatures": {
            s.name: {
                "meaning": s.meaning,
                "inputs": {feature.name: _row(feature) for feature in s.inputs},
                "outputs": {s.output.name: _row(s.output)},
            }
            for s in signatures
        },
        "made_with": {
            package.__name__: package.__version__ for package in (tfp_cinn, tf, tfp, keras)
        },
    }


def _row(feature: Feature) -> dict[str, Any]:
    return {
        "dtype": feature.dtype,
        "shape": [None, *feature.shape],
        "meaning": feature.meaning,
    }


def to_markdown(card: Mapping[str, Any]) -> str:
    """The card as a page for people."""
    lines = [
        f"# {card['name']}, version {card['version']}",
        "",
        "A conditional invertible neural network, p(x | cond), exported by "
        f"tfp_cinn {card['made_with']['tfp_cinn']} on {card['created']}.",
        "",
        "| | |",
        "|---|---|",
    ]
    said = {"name", "version", "created", "signatures", "made_with", "evaluation"}
    lines += [
        f"| {key.replace('_', ' ')} | {_text(value)} |"
        for key, value in card.items()
        if key not in said
    ]
    lines += [f"| {package} | {version} |" for package, version in card["made_with"].items()]
    lines += [
        "",
        "## Signatures",
        "",
        "`sample` answers requests that name none. Dimension 0 of every input and output is the "
        "batch, of any size, 0 included; each row is answered by itself. A row with a label out of "
        "range, a NaN, or a temperature that is negative or not finite comes back as NaN.",
    ]
    for name, signature in card["signatures"].items():
        lines += ["", f"### `{name}`: {signature['meaning']}", "", "| | dtype | shape | |"]
        lines += ["|---|---|---|---|"]
        for side in ("inputs", "outputs"):
            lines += [
                f"| {side[:-1]} `{key}` | {row['dtype']} | {_shape(row['shape'])} | "
                f"{row['meaning']} |"
                for key, row in signature[side].items()
            ]
    if "evaluation" in card:
        lines += [
            "",
            "## Measured on test data",
            "",
            "| | mean | standard error |",
            "|---|---|---|",
        ]
        lines += [
            f"| {name} | {value['mean']:.4g} | {value['standard_error']:.2g} |"
            for name, value in card["evaluation"].items()
            if isinstance(value, Mapping) and None not in value.values()
        ]
    return "\n".join(lines) + "\n"


def _shape(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("N" if n is None else str(n) for n in shape) + "]"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
