"""A run of colored digits, to be explored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfp_cinn import data
from tfp_cinn.model import CINN
from tfp_cinn.tasks.conditions import first_of_classes, to_labels
from tfp_cinn.tasks.explore.subject import Examples, Subject
from tfp_cinn.tasks.task import Task

__all__ = ["ExploredColorDigits"]

_BATCH = 250


class ExploredColorDigits(Subject):
    """Colors of digits given their gray image.

    Args:
        model: of colored digits.
        experiment: its data.
    """

    style = "Color"

    def __init__(self, model: CINN, experiment: Task):
        super().__init__(model)
        self._experiment = experiment

    def cases(self, cond: Sequence[str] | None) -> Examples:
        """A test image of each class wanted, all if None."""
        images = self._experiment.images
        labels = to_labels(cond, images.class_names)
        return self.held_out(len(images.test.labels)).take(
            first_of_classes(images, images.test.labels, labels)
        )

    def held_out(self, count: int) -> Examples:
        """The first test images, in colors of their own."""
        split = data.Split(*(part[:count] for part in self._experiment.images.test))
        return self._painted(split, self._experiment.noise_std)

    def shown(self, x: np.ndarray, examples: Examples, exact: bool = False) -> np.ndarray:
        """RGB as it is."""
        return x

    def conditions_shown(self, examples: Examples) -> np.ndarray:
        """The gray images."""
        return np.repeat(examples.cond, 3, axis=-1)

    def foreign(self, examples: Examples, seed: int) -> dict[str, Examples]:
        """The same gray images in colors that aren't their class's, and in none."""
        rng = np.random.default_rng(seed)
        images = self._experiment.images
        gray = np.round(examples.cond * (images.levels - 1)).astype(np.uint8)
        labels = to_labels(list(examples.names), images.class_names)
        wrong = (labels + rng.integers(1, images.num_classes, len(labels))) % images.num_classes
        noise_std = self._experiment.noise_std
        clean = self._painted(data.Split(gray, labels), 0.0).x
        # The nearest that is of another class.
        another = [
            np.flatnonzero(np.roll(labels, -k) != label)[0] for k, label in enumerate(labels)
        ]
        another = (np.arange(len(labels)) + another) % len(labels)
        plain = np.broadcast_to(clean.mean(axis=(1, 2), keepdims=True), clean.shape)
        sets = {
            "opposite hues": tf.image.adjust_hue(clean, 0.5).numpy(),
            "colors of another digit": clean[another],
            "no colors": np.broadcast_to(clean.mean(axis=-1, keepdims=True), clean.shape),
            "one color": plain,
            "uniform noise": rng.uniform(size=clean.shape),
        }
        noise = noise_std * rng.standard_normal(clean.shape)
        noisy = {
            name: examples._replace(x=(x + noise).astype(np.float32)) for name, x in sets.items()
        }
        other = self._painted(data.Split(gray, wrong.astype(np.int32)), noise_std)
        return {"painted as another class": other} | noisy

    def _painted(self, split, noise_std):
        images = self._experiment.images
        batches = data.evaluation_color_digits(split, images.levels, _BATCH, noise_std=noise_std)
        x, gray = (np.concatenate(part) for part in zip(*batches, strict=True))
        return Examples(x, gray, [images.class_names[label] for label in split.labels])
