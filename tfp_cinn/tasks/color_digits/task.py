"""Colors of digits given their gray image, the paper's color-MNIST."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn import data
from tfp_cinn.errors import UsageError
from tfp_cinn.plots.pictures import draw_sheet
from tfp_cinn.tasks.rows import rows_of
from tfp_cinn.tasks.task import Task, register

__all__ = ["ColorDigits", "draw_colored"]


@register("color_digits")
class ColorDigits(Task):
    """Labeled images in hues of their class: x is RGB given the gray image, both in [0, 1].

    The class isn't given: the flow has to see it. See `tfp_cinn.data.training_color_digits`.

    Args:
        images: the gray images.
        noise_std: Gaussian noise on x.

    Raises:
        UsageError: if the noise is out of range.
    """

    x_meaning = "sRGB, 0 to 1"
    cond_meaning = "gray levels, 0 to 1"
    samples_file = "samples.png"

    def __init__(self, images: data.LabeledImages, noise_std: float = 0.0):
        if not 0 <= noise_std < math.inf:
            raise UsageError(f"noise_std: expected 0 or more, and finite, got {noise_std}")
        self.images = images
        self.noise_std = noise_std

    @classmethod
    def load(cls, section: Mapping[str, Any], model: Mapping[str, Any]) -> ColorDigits:
        """Loads what the `data` section of a config names.

        Args:
            section: the config's `data`.
            model: the config's `model`.

        Raises:
            UsageError: if the data can't be had.
        """
        images = data.load(
            section["name"],
            idx_dir=section["idx_dir"],
            data_dir=section["data_dir"],
            num_validation=section["num_validation"],
        )
        return cls(images, section["noise_std"])

    @classmethod
    def without_data(cls, section: Mapping[str, Any], model: Mapping[str, Any]) -> ColorDigits:
        """See `Task.without_data`."""
        return cls(data.load_nothing(section["name"]), section["noise_std"])

    @property
    def event_shape(self):
        """Shape of one x, `(H, W, 3)`."""
        return (*self.images.image_shape[:2], 3)

    @property
    def cond_shape(self):
        """Shape of one gray image, `(H, W, 1)`."""
        return self.images.image_shape

    @property
    def facts(self):
        """Name, classes and shapes."""
        return {
            "name": self.images.name,
            "num_classes": self.images.num_classes,
            "class_names": list(self.images.class_names),
            "image_shape": list(self.event_shape),
            "cond_shape": list(self.cond_shape),
        }

    def training_batches(self, batch_size, seed, start=None):
        """Noisy images in new colors, and the gray ones."""
        return data.training_color_digits(
            self.images.train,
            self.images.levels,
            batch_size,
            noise_std=self.noise_std,
            seed=seed,
            start=start,
        )

    def validation_batches(self, batch_size):
        """Noisy images in colors of their own, and the gray ones."""
        if not len(self.images.validation.labels):
            return None
        return self._held_out(self.images.validation, batch_size)

    def test_batches(self, batch_size: int, repeats: int = 1) -> tf.data.Dataset:
        """Noisy test images and the gray ones, the same each time.

        Args:
            batch_size: images a batch.
            repeats: how often to go through the images, each time in other colors.
        """
        images, labels = self.images.test
        repeated = data.Split(np.tile(images, (repeats, 1, 1, 1)), np.tile(labels, repeats))
        return self._held_out(repeated, batch_size)

    def _held_out(self, split, batch_size):
        # Noise as in training, on which the likelihood depends.
        return data.evaluation_color_digits(
            split, self.images.levels, batch_size, noise_std=self.noise_std
        )

    def test_grays(self, labels: Iterable[int]) -> np.ndarray:
        """A test image for each label, in gray; the next one each time that a label comes again.

        Args:
            labels: N classes.

        Returns:
            From 0 to 1, float32 `[N, H, W, 1]`.

        Raises:
            UsageError: if there are too few test images of a class.
        """
        return self._grays(self.images.test, labels)

    def _grays(self, split, labels):
        rows = rows_of(self.images, split.labels, labels)
        return np.float32(split.images[rows]) / np.float32(self.images.levels - 1)

    def draw_samples(self, model, workdir):
        """A held-out image of each class in gray, colored eight times."""
        images = self.images
        split = images.validation if len(images.validation.labels) else images.train
        grays = self._grays(split, np.unique(split.labels))
        x = model.distribution.sample(grays, sample_shape=8, seed=0).numpy()
        with workdir.writing("samples.png") as scratch:
            draw_colored(grays, x.swapaxes(0, 1), scratch)

    @classmethod
    def evaluate(cls, workdir, source=None, **options):
        """See `evaluate_color_digits`."""
        from tfp_cinn.tasks.color_digits.evaluate import evaluate_color_digits

        return evaluate_color_digits(workdir, idx_dir=source, **options)

    @classmethod
    def sample(cls, workdir, cond, num_samples, temperature, seed, output):
        """See `sample_color_digits`."""
        from tfp_cinn.tasks.color_digits.sample import sample_color_digits

        sample_color_digits(workdir, cond, num_samples, temperature, seed, output)

    @classmethod
    def subject(cls):
        """See `ExploredColorDigits`."""
        from tfp_cinn.tasks.color_digits.explore import ExploredColorDigits

        return ExploredColorDigits


def draw_colored(grays: np.ndarray, x: np.ndarray, path: str | os.PathLike) -> None:
    """Draws a row for each gray image: itself and its colorings.

    Args:
        grays: `[N, H, W, 1]`, from 0 to 1.
        x: RGB, `[N, K, H, W, 3]`.
        path: the PNG to write.
    """
    gray = np.broadcast_to(grays[:, np.newaxis], (len(x), 1, *x.shape[2:]))
    labels = ["gray", *map(str, range(1, x.shape[1] + 1))]
    draw_sheet(np.concatenate([gray, x], axis=1), path, labels)
