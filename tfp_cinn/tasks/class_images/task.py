"""Images given their class."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfp_cinn import data
from tfp_cinn.errors import UsageError
from tfp_cinn.files import writing
from tfp_cinn.metrics import (
    Figure,
    class_accuracy,
    is_recognized,
    latent_moments,
    likelihood,
    neighbor_distance,
    pair_distance,
    train_classifier,
)
from tfp_cinn.plots.panels import Panel, check_picture, draw_panels
from tfp_cinn.tasks.sampler import ModelSampler
from tfp_cinn.tasks.task import Task, register

__all__ = ["ClassImages"]

_FIELDS = tuple(inspect.signature(data.load).parameters)  # of a config's `data`


@register("classes")
class ClassImages(Task):
    """Labeled images, gray or RGB, x in levels given the class.

    Args:
        images: the data set.
        noise_std: Gaussian noise on training images, in gray levels; 0 for uniform dequantization.
    """

    cond_shape = ()
    describes = ("class_names", "levels")
    samples_file = "samples.png"
    pictures = (".png",)

    def __init__(self, images: data.LabeledImages, noise_std: float = 0.0):
        self.images = images
        self.event_shape = images.image_shape
        self._noise_std = noise_std
        self.description = {
            "dataset": images.name,
            "class_names": list(images.class_names),
            "levels": images.levels,
            "image_shape": list(images.image_shape),
        }

    @classmethod
    def load(cls, config: Mapping[str, Any]) -> ClassImages:
        """See `Task.load`; `model.std` is used if given, for noise in standard deviations."""
        section = config["data"]
        images = data.load(**{key: section[key] for key in _FIELDS if key in section})
        if images.summary:
            print(images.summary)
        return cls(images, section["noise_std"] * (config["model"]["std"] or images.std))

    @classmethod
    def without_data(cls, config: Mapping[str, Any]) -> ClassImages:
        """See `Task.without_data`; only built-in data sets are known without their images."""
        name = config["data"]["name"]
        return cls(data.load_nothing(name)) if name in data.DATASETS else cls.load(config)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.description["class_names"])

    @property
    def mean(self) -> float:
        """Mean gray level of the training images."""
        return self.images.mean

    @property
    def std(self) -> float:
        """Standard deviation of the training images' gray levels."""
        return self.images.std

    @property
    def x_meaning(self) -> str:
        """The levels."""
        last = self.description["levels"] - 1
        return f"gray levels; level v occupies [v, v + 1), v from 0 to {last}"

    @property
    def cond_meaning(self) -> str:
        """The classes."""
        return f"class, 0 to {self.num_classes - 1}"

    def training_batches(self, batch_size, seed, epoch=None):
        """Return noisy images and their classes."""
        draw = data.dequantize(self._noise_std)
        return data.training_batches(self.images.train, batch_size, draw, seed=seed, epoch=epoch)

    def validation_batches(self, batch_size):
        """Return dequantized images and their classes."""
        if not len(self.images.validation.labels):
            return None
        return data.evaluation_batches(self.images.validation, batch_size)

    def test_batches(self, batch_size):
        """Return dequantized test images and their classes."""
        return data.evaluation_batches(self.images.test, batch_size)

    def draw_samples(self, model, workdir):
        """Draw a row for each class."""
        labels = np.arange(self.num_classes, dtype=np.int32)
        x = ModelSampler(model).draw(labels, 10, 1.0, 0)
        self.write_samples(workdir / "samples.png", x, None, labels)

    def measure(self, model, batch_size=250, num_samples=100, temperature=1.0, seed=0):
        """Measure a model, and its samples beside test images.

        Samples are judged as the gray levels that they show, floor(x) within [0, levels): those are
        draws of the discrete model P(v | c) = int p(v + u | c) du over u in [0, 1)^D, which compare
        with real images without the noise that training added to these.

        Args:
            model: the model.
            batch_size: images a batch; changes no figure beyond rounding.
            num_samples: samples drawn of each class, 2 or more.
            temperature: factor on the latents of the samples.
            seed: of the samples and of the classifier that judges them.

        Raises:
            UsageError: if `num_samples` is 1.
        """
        if num_samples < 2:
            raise UsageError("num_samples: expected 2 or more, as diversity is of pairs, got 1")
        images, batches = self.images, self.test_batches(batch_size)
        nats = likelihood(model, batches)
        samples, non_finite = self._sampled(model, num_samples, temperature, seed)
        judge = train_classifier(images, seed)
        seen = is_recognized(judge, samples)
        recognized = {
            "real": Figure.average(is_recognized(judge, images.test)),
            "samples": Figure.over_classes(seen, samples.labels),
        }
        pairs = {
            of: pair_distance(x, of=of) for of, x in (("real", images.test), ("samples", samples))
        }
        return [
            *nats,
            class_accuracy(model, batches, images.num_classes),
            *latent_moments(model, batches),
            pairs["samples"]
            .over(pairs["real"])
            .named("diversity_ratio", "1", "pair_distance of samples over real; 0 is collapsed"),
            Figure(non_finite).named(
                "non_finite_samples",
                "samples",
                "with NaN or infinity; they count as black or white",
            ),
            *(
                figure.named(
                    "cnn_accuracy", "share", "images that a CNN trained on real ones recognizes", of
                )
                for of, figure in recognized.items()
            ),
            *pairs.values(),
            neighbor_distance(images.test, images.train, of="real"),
            neighbor_distance(samples, images.train, of="samples"),
            *(
                Figure.average(seen[samples.labels == label]).named(
                    "cnn_accuracy_by_class",
                    "share",
                    "samples of the class that it recognizes",
                    name,
                )
                for label, name in enumerate(images.class_names)
            ),
        ]

    def _sampled(self, model, num_samples, temperature, seed):
        """Return samples of every class as gray levels, and how many were not finite."""
        classes = np.arange(self.num_classes, dtype=np.int32)
        x = ModelSampler(model).draw(classes, num_samples, temperature, seed)
        x = x.swapaxes(0, 1).reshape(-1, *self.event_shape)
        non_finite = np.count_nonzero(~np.isfinite(x).all(axis=(1, 2, 3)))
        levels = np.clip(np.floor(np.nan_to_num(x)), 0, self.images.levels - 1).astype(np.uint8)
        return data.Split(levels, np.repeat(classes, num_samples)), non_finite

    def check_output(self, output, shape):
        """Refuse a file that samples can't be written to, before they are drawn."""
        super().check_output(output, shape)
        if output.suffix == ".png":
            check_picture(output, *shape[1::-1])

    def write_samples(self, output, x, log_prob, cond, distance=None):
        """Write samples into a `.npz`, or a `.png`: a row a class, or a near-square grid of one."""
        if output.suffix == ".npz":
            super().write_samples(output, x, log_prob, cond, distance)
            return
        names = [self.description["class_names"][label] for label in cond]
        title, images = self.description.get("dataset", ""), self.show(x.swapaxes(0, 1), None)
        if len(names) == 1:
            columns = math.ceil(math.sqrt(images.shape[1]))
            rows = math.ceil(images.shape[1] / columns)
            grid = np.full((rows * columns, *images.shape[2:]), np.nan)
            grid[: images.shape[1]] = images[0]
            images = grid.reshape(rows, columns, *images.shape[2:])
            names, title = (), f"{names[0]}, {title}"
        with writing(output) as scratch:
            draw_panels([Panel(images)], scratch, names, title)

    def show(self, x, examples):
        """Show gray levels from black to white."""
        top = self.description["levels"] - 1
        return np.clip(np.floor(x), 0, top) / top
