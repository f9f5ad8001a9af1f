"""Colours of digits given their grey image, the paper's colour-MNIST."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn import data
from tfp_cinn.errors import UsageError
from tfp_cinn.evaluation.pictures import draw_sheet
from tfp_cinn.experiments.experiment import Experiment
from tfp_cinn.experiments.rows import rows_of

__all__ = ["ColorDigits", "draw_coloured"]


class ColorDigits(Experiment):
    """Labelled images in hues of their class: x is RGB given the grey image, both in [0, 1].

    The class isn't given: the flow has to see it. See `tfp_cinn.data.training_color_digits`.

    Args:
        images: the grey images.
        noise_std: Gaussian noise on x.

    Raises:
        UsageError: if the noise is out of range.
    """

    kind = "color_digits"

    def __init__(self, images: data.LabelledImages, noise_std: float = 0.0):
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
        """See `Experiment.without_data`."""
        return cls(data.load_nothing(section["name"]), section["noise_std"])

    @property
    def image_shape(self):
        """Shape of one x, `(H, W, 3)`."""
        return (*self.images.image_shape[:2], 3)

    @property
    def cond_shape(self):
        """Shape of one grey image, `(H, W, 1)`."""
        return self.images.image_shape

    @property
    def facts(self):
        """Name, classes and shapes."""
        return {
            "name": self.images.name,
            "num_classes": self.images.num_classes,
            "class_names": list(self.images.class_names),
            "image_shape": list(self.image_shape),
            "cond_shape": list(self.cond_shape),
        }

    def training_batches(self, batch_size, seed, start=None):
        """Noisy images in new colours, and the grey ones."""
        return data.training_color_digits(
            self.images.train,
            self.images.levels,
            batch_size,
            noise_std=self.noise_std,
            seed=seed,
            start=start,
        )

    def validation_batches(self, batch_size):
        """Noisy images in colours of their own, and the grey ones."""
        if not len(self.images.validation.labels):
            return None
        return self._held_out(self.images.validation, batch_size)

    def test_batches(self, batch_size: int, repeats: int = 1) -> tf.data.Dataset:
        """Noisy test images and the grey ones, the same each time.

        Args:
            batch_size: images a batch.
            repeats: how often to go through the images, each time in other colours.
        """
        images, labels = self.images.test
        repeated = data.Split(np.tile(images, (repeats, 1, 1, 1)), np.tile(labels, repeats))
        return self._held_out(repeated, batch_size)

    def _held_out(self, split, batch_size):
        # Noise as in training, on which the likelihood depends.
        return data.evaluation_color_digits(
            split, self.images.levels, batch_size, noise_std=self.noise_std
        )

    def test_greys(self, labels: Iterable[int]) -> np.ndarray:
        """A test image for each label, in grey; the next one each time that a label comes again.

        Args:
            labels: N classes.

        Returns:
            From 0 to 1, float32 `[N, H, W, 1]`.

        Raises:
            UsageError: if there are too few test images of a class.
        """
        return self._greys(self.images.test, labels)

    def _greys(self, split, labels):
        rows = rows_of(self.images, split.labels, labels)
        return np.float32(split.images[rows]) / np.float32(self.images.levels - 1)

    def draw_samples(self, model, workdir):
        """A held-out image of each class in grey, coloured eight times."""
        images = self.images
        split = images.validation if len(images.validation.labels) else images.train
        greys = self._greys(split, np.unique(split.labels))
        x = model.distribution.sample(greys, sample_shape=8, seed=0).numpy()
        with workdir.writing("samples.png") as scratch:
            draw_coloured(greys, x.swapaxes(0, 1), scratch)


def draw_coloured(greys: np.ndarray, x: np.ndarray, path: str | os.PathLike) -> None:
    """Draws a row for each grey image: itself and its colourings.

    Args:
        greys: `[N, H, W, 1]`, from 0 to 1.
        x: RGB, `[N, K, H, W, 3]`.
        path: the PNG to write.
    """
    grey = np.broadcast_to(greys[:, np.newaxis], (len(x), 1, *x.shape[2:]))
    labels = ["grey", *map(str, range(1, x.shape[1] + 1))]
    draw_sheet(np.concatenate([grey, x], axis=1), path, labels)
