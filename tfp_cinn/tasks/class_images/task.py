"""Images given their class."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfp_cinn import data
from tfp_cinn.plots import draw_samples
from tfp_cinn.tasks.class_images.sample import draw
from tfp_cinn.tasks.facts import class_names, field
from tfp_cinn.tasks.task import Task, register

__all__ = ["ClassImages"]


_FIELDS = tuple(inspect.signature(data.load).parameters)  # of a config's `data`


@register("classes")
class ClassImages(Task):
    """Labeled images, gray or RGB, x in levels given the class.

    Args:
        images: the data set.
        noise_std: Gaussian noise on training images, in gray levels; 0 for uniform
            dequantization.
    """

    samples_file = "samples.png"

    def __init__(self, images: data.LabeledImages, noise_std: float = 0.0):
        self.images = images
        self._noise_std = noise_std

    @classmethod
    def load(cls, section: Mapping[str, Any], model: Mapping[str, Any]) -> ClassImages:
        """Loads what the `data` section of a config names.

        Args:
            section: the config's `data`; its noise is in standard deviations of the pixels.
            model: the config's `model`, which may give that standard deviation.

        Raises:
            UsageError: if the data can't be had.
        """
        images = cls.read(section)
        if images.summary:
            print(images.summary)
        return cls(images, section["noise_std"] * (model["std"] or images.std))

    @staticmethod
    def read(section: Mapping[str, Any], source: str | None = None) -> data.LabeledImages:
        """Reads the images that the `data` section of a config names.

        Args:
            section: a config's `data`; runs of the past have fewer fields.
            source: folder to read from, instead of the one in the section.

        Raises:
            UsageError: if the data can't be had.
        """
        if source:
            section = {**section, "folder" if section["name"] == "folder" else "idx_dir": source}
        return data.load(**{key: section[key] for key in _FIELDS if key in section})

    @classmethod
    def without_data(cls, section: Mapping[str, Any], model: Mapping[str, Any]) -> ClassImages:
        """See `Task.without_data`; only built-in data sets are known without their images."""
        if section["name"] in data.DATASETS:
            return cls(data.load_nothing(section["name"]))
        return cls.load(section, model)

    @property
    def event_shape(self):
        """Shape of one image, `(H, W, C)`."""
        return self.images.image_shape

    @property
    def cond_shape(self):
        """That of a label, `()`."""
        return ()

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.images.num_classes

    @property
    def mean(self) -> float:
        """Mean gray level of the training images."""
        return self.images.mean

    @property
    def std(self) -> float:
        """Standard deviation of the training images' gray levels."""
        return self.images.std

    @property
    def facts(self):
        """Name, classes, gray levels and shape."""
        return {
            "name": self.images.name,
            "num_classes": self.images.num_classes,
            "levels": self.images.levels,
            "image_shape": list(self.images.image_shape),
            "class_names": list(self.images.class_names),
        }

    def training_batches(self, batch_size, seed, epoch=None):
        """Noisy images and their classes."""
        return data.training_batches(
            self.images.train, batch_size, noise_std=self._noise_std, seed=seed, epoch=epoch
        )

    def validation_batches(self, batch_size):
        """Dequantized images and their classes."""
        if not len(self.images.validation.labels):
            return None
        return data.evaluation_batches(self.images.validation, batch_size)

    def draw_samples(self, model, workdir):
        """A row for each class."""
        labels = np.arange(self.images.num_classes)
        x = draw(model, labels, num_samples=10, temperature=1.0, seed=0)
        with workdir.writing("samples.png") as scratch:
            draw_samples(x, self.images.levels, scratch, self.images.class_names)

    @classmethod
    def evaluate(cls, workdir, source=None, **options):
        """See `evaluate`."""
        from tfp_cinn.tasks.class_images.evaluate import evaluate

        return evaluate(workdir, source, **options)

    @classmethod
    def sample(cls, workdir, cond, num_samples, temperature, seed, output):
        """See `sample`."""
        from tfp_cinn.tasks.class_images.sample import sample

        sample(workdir, cond, num_samples, temperature, seed, output)

    @classmethod
    def subject(cls):
        """See `ExploredClasses`."""
        from tfp_cinn.tasks.class_images.explore import ExploredClasses

        return ExploredClasses

    @classmethod
    def card(cls, facts, source):
        """Classes and gray levels."""
        return {
            "class_names": class_names(facts, source),
            "levels": field(facts, "levels", int, source),
        }

    @classmethod
    def meanings(cls, facts, num_classes):
        """Gray levels given the class."""
        x = cls.x_meaning
        if "levels" in facts:
            x = f"gray levels; level v occupies [v, v + 1), v from 0 to {facts['levels'] - 1}"
        return x, f"class, 0 to {num_classes - 1}" if num_classes else cls.cond_meaning
