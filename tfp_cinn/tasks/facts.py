"""Reading what a training run wrote down of itself, which a user may have edited."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from tfp_cinn.errors import UsageError

__all__ = ["class_names", "field"]


def field(facts: Mapping[str, Any], key: str, kind: Any, source: pathlib.Path) -> Any:
    """Returns `facts[key]`.

    Args:
        facts: what a JSON file holds.
        key: the field.
        kind: a type, or a tuple or union of types, that it must have.
        source: the file, for the message.

    Raises:
        UsageError: if the field is missing or of another type.
    """
    if key not in facts:
        raise UsageError(f"{source}: lacks the field {key!r}; train again to write it anew")
    if not isinstance(facts[key], kind):
        raise UsageError(
            f"{source}: the field {key!r} is {facts[key]!r}; train again to write it anew"
        )
    return facts[key]


def class_names(facts: Mapping[str, Any], source: pathlib.Path) -> list[str]:
    """Returns the name of each class in a `dataset.json`: its number where there are none.

    Args:
        facts: what the file holds.
        source: the file, for the message.

    Raises:
        UsageError: if the number of classes is missing or differs from that of names.
    """
    count = field(facts, "num_classes", int, source)
    names = facts.get("class_names") or [str(k) for k in range(count)]
    if not isinstance(names, list) or len(names) != count:
        raise UsageError(f"{source}: expected {count} class_names, got {names!r}")
    return [str(name) for name in names]
