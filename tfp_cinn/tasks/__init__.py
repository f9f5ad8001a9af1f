"""Kinds of experiment: a data set, and what a flow learns of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfp_cinn.errors import UsageError
from tfp_cinn.tasks.arrays.task import Arrays
from tfp_cinn.tasks.class_images.task import ClassImages
from tfp_cinn.tasks.color_digits.task import ColorDigits
from tfp_cinn.tasks.colorization.task import Colorization
from tfp_cinn.tasks.programs import evaluate, explore, sample
from tfp_cinn.tasks.task import Experiment

__all__ = [
    "KINDS",
    "Arrays",
    "ClassImages",
    "ColorDigits",
    "Colorization",
    "Experiment",
    "evaluate",
    "explore",
    "load",
    "load_nothing",
    "sample",
]

KINDS = {kind.kind: kind for kind in (ClassImages, Colorization, ColorDigits)}


def load(config: Mapping[str, Any]) -> Experiment:
    """Loads the experiment that a config describes.

    Args:
        config: nested dicts; `data.kind` is one of `KINDS`.

    Raises:
        UsageError: if there is no such kind, or the data can't be had.
    """
    return _kind(config).load(config["data"], config["model"])


def load_nothing(config: Mapping[str, Any]) -> Experiment:
    """What is known of the experiment that a config describes without its data.

    Args:
        config: as for `load`.

    Raises:
        UsageError: if there is no such kind, or a field doesn't serve.
    """
    return _kind(config).without_data(config["data"], config["model"])


def _kind(config: Mapping[str, Any]) -> type[Experiment]:
    kind = config["data"]["kind"]
    if kind not in KINDS:
        raise UsageError(f"config.data.kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    return KINDS[kind]
