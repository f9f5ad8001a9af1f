"""What the tasks have in common.

A sampler is a function `(cond [N, ...], num_samples, seed) -> x [num_samples, N, H, W, C]`, in the
units of the data. Figures are plain numbers; errors are over the seeds of whole runs.
"""

import functools
import importlib
import pathlib

import keras
import numpy as np

from tfp_cinn import tasks
from tfp_cinn.metrics import coverage, recall

SOURCES = {"data__idx_dir": "/usr/share/datasets/fashion-mnist", "data__folder": "photos"}
"""Where Fashion-MNIST and the photographs are."""

JUDGE_SEED = 1234
"""Of the networks that judge; no seed of a run."""

DRAWS = 8
"""Colorings of an image."""


def config_of(name, **fields):
    """Return a shipped config with fields such as `model__blocks` changed."""
    config = importlib.import_module(f"tfp_cinn.configs.{name}").get_config()
    for key, value in fields.items():
        section, field = key.split("__")
        config[section][field] = value
    return config.to_dict(preserve_field_references=False)


class Task:
    """Data, and what is measured of samples.

    Args:
        folder: where networks that judge are kept.
        fast: whether to measure on a part of the test set only.
        **fields: changes of the config.
    """

    config_name: str
    source = ""
    base: dict = {}

    def __init__(self, folder, fast=False, **fields):
        self.folder = pathlib.Path(folder)
        self.fast = fast
        sources = {self.source: SOURCES[self.source]} if self.source else {}
        self.config = config_of(self.config_name, **(sources | self.base | fields))

    @functools.cached_property
    def problem(self):
        return tasks.load(self.config)

    def judge_path(self):
        return self.folder / f"{type(self).__name__.lower()}_judge.keras"

    def _judge(self):
        return keras.saving.load_model(self.judge_path(), compile=False)


def by_class(real, real_labels, samples, labels):
    """Coverage and recall, mean over classes."""
    parts = []
    for label in np.unique(real_labels):
        pair = real[real_labels == label], samples[labels == label]
        parts.append([coverage(*pair).mean(), recall(*pair).mean()])
    return np.mean(parts, axis=0)
