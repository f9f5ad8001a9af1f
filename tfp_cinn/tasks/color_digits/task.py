"""Colors of digits given their gray image, the paper's color-MNIST."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from tfp_cinn import data
from tfp_cinn.data.color_digits import class_hues
from tfp_cinn.data.image_files import SUFFIXES, read_image
from tfp_cinn.errors import UsageError
from tfp_cinn.files import writing
from tfp_cinn.metrics import Figure, likelihood
from tfp_cinn.metrics.hues import circular_distance, digit_hues, hue_distance
from tfp_cinn.plots.curves import draw_hues
from tfp_cinn.plots.panels import Panel, check_picture, draw_panels
from tfp_cinn.tasks.conditions import rows_of, to_labels
from tfp_cinn.tasks.explore.explorable import Examples
from tfp_cinn.tasks.sampler import ModelSampler
from tfp_cinn.tasks.task import Task, register

__all__ = ["ColorDigits"]


@register("color_digits")
class ColorDigits(Task):
    """Labeled images in hues of their class: x is RGB given the gray image, both in [0, 1].

    The class isn't given: the flow has to see it. See `tfp_cinn.data.paint_digits`.

    Args:
        images: the gray images.
        noise_std: Gaussian noise on x.

    Raises:
        UsageError: if the noise is out of range.
    """

    x_meaning = "sRGB, 0 to 1"
    cond_meaning = "gray levels, 0 to 1"
    samples_file = "samples.png"
    pictures = (".png",)

    def __init__(self, images: data.LabeledImages, noise_std: float = 0.0):
        self.images = images
        self._draw = data.paint_digits(images.levels, noise_std)
        self.event_shape = (*images.image_shape[:2], 3)
        self.cond_shape = images.image_shape
        self.description = {
            "dataset": images.name,
            "class_names": list(images.class_names),
            "image_shape": list(self.event_shape),
            "cond_shape": list(self.cond_shape),
        }

    @classmethod
    def load(cls, config: Mapping[str, Any]) -> ColorDigits:
        """See `Task.load`."""
        section = config["data"]
        fields = ("name", "idx_dir", "data_dir", "num_validation")
        return cls(data.load(**{key: section[key] for key in fields}), section["noise_std"])

    @classmethod
    def without_data(cls, config: Mapping[str, Any]) -> ColorDigits:
        """See `Task.without_data`."""
        return cls(data.load_nothing(config["data"]["name"]), config["data"]["noise_std"])

    def training_batches(self, batch_size, seed, epoch=None):
        """Return noisy images in new colors, and the gray ones."""
        return data.training_batches(
            self.images.train, batch_size, self._draw, seed=seed, epoch=epoch
        )

    def validation_batches(self, batch_size):
        """Return noisy images in colors of their own, and the gray ones."""
        if not len(self.images.validation.labels):
            return None
        return self._held_out(self.images.validation, batch_size)

    def test_batches(self, batch_size: int, repeats: int = 1) -> tf.data.Dataset:
        """Return noisy test images and the gray ones, the same each time.

        Args:
            batch_size: images a batch.
            repeats: how often to go through the images, each time in other colors.
        """
        images, labels = self.images.test
        repeated = data.Split(np.tile(images, (repeats, 1, 1, 1)), np.tile(labels, repeats))
        return self._held_out(repeated, batch_size)

    def _held_out(self, split, batch_size):
        # Noise as in training, on which the likelihood depends.
        return data.evaluation_batches(split, batch_size, self._draw)

    def test_grays(self, labels: Iterable[int]) -> np.ndarray:
        """Return a test image for each label, `[N, H, W, 1]` from 0 to 1; the next if it repeats.

        Raises:
            UsageError: if there are too few test images of a class.
        """
        return self._grays(self.images.test, labels)

    def _grays(self, split, labels):
        names = self.images.class_names
        rows = rows_of([names[k] for k in split.labels], [names[k] for k in labels])
        return np.float32(split.images[rows]) / np.float32(self.images.levels - 1)

    def draw_samples(self, model, workdir):
        """Draw a held-out image of each class in gray, colored eight times."""
        images = self.images
        split = images.validation if len(images.validation.labels) else images.train
        grays = self._grays(split, np.unique(split.labels))
        x = ModelSampler(model).draw(grays, 8, 1.0, 0)
        self.write_samples(workdir / "samples.png", x, None, grays)

    def measure(self, model, batch_size=250, num_samples=8, temperature=1.0, seed=0):
        """Measure a model by the hues of its colorings.

        Each test image is colored by the model and, as often, in new colors as the data were; the
        hues of both are compared by class (`tfp_cinn.metrics.hues`).

        Args:
            model: the model.
            batch_size: images a batch.
            num_samples: colorings of each image.
            temperature: factor on the latents of the colorings.
            seed: of the colorings.

        Returns:
            Likelihood of RGB in [0, 1] with the noise of training; and the distance of hues from
            the data's: of the `model`; of the `data` in colors drawn once more, which no model can
            beat; and of these with the classes `shuffled`.

        Raises:
            UsageError: if a coloring isn't finite.
        """
        labels, batches = self.images.test.labels, self.test_batches(batch_size)
        nats = likelihood(model, batches)
        data_hues = self._data_hues(batch_size, 2 * num_samples)
        reference, again = np.split(data_hues, 2, axis=1)
        drawn = _model_hues(model, batches, num_samples, temperature, seed)
        self._hues = reference, drawn
        shuffled = np.random.default_rng(seed).permutation(again)
        hues = {"model": drawn, "data": again, "shuffled": shuffled}
        by_class = []
        for k, ground in enumerate(("foreground", "background")):
            for label, name in enumerate(self.images.class_names):
                pair = (each[labels == label][..., k].ravel() for each in self._hues)
                figure = Figure(circular_distance(*pair), math.nan)
                words = f"{ground}_by_class", "degrees", f"the same of the model's {ground}s"
                by_class.append(figure.named(*words, name))
        return [
            *nats,
            *(hue_distance(each, reference, labels, of=of) for of, each in hues.items()),
            *by_class,
        ]

    def draw_measured(self, workdir):
        """Draw `hues.png`, the hues of samples and of data."""
        reference, drawn = self._hues
        labels, names = self.images.test.labels, self.images.class_names
        with workdir.writing("hues.png") as scratch:
            draw_hues(reference, drawn, labels, class_hues(), names, scratch)
        print(f"{workdir / 'hues.png'}: hues of samples and of data")

    def _data_hues(self, batch_size, repeats):
        """Return the hues of the test images as data, `[N, repeats, 2]`."""
        batches = self.test_batches(batch_size, repeats)
        hues = np.concatenate([digit_hues(x.numpy(), gray.numpy()) for x, gray in batches])
        return hues.reshape(repeats, -1, 2).swapaxes(0, 1)

    def read_conditions(self, texts, shape):
        """Read gray images.

        Args:
            texts: classes by number or name, for the first test image of each (the next one
                if a class comes again), all if None; or image files, light on dark ground as the
                data are, which are scaled to the data's size; or as `Task.read_conditions` has it.
            shape: of a gray image.

        Raises:
            UsageError: if a file can't be read, or there is no such class.
        """
        names = self.description.get("class_names", ())  # which the first exports lack
        texts = [str(each) for each in (names if texts is None else texts)]
        if not texts:
            raise UsageError("cond: expected classes or image files, got none")
        if texts[0].endswith((".npy", ".npz")):
            return super().read_conditions(texts, shape)
        grays = np.empty((len(texts), *shape), np.float32)
        is_file = np.array([each.lower().endswith(SUFFIXES) for each in texts], bool)
        for row in np.flatnonzero(is_file):
            gray = read_image(texts[row]).mean(axis=-1, keepdims=True)
            grays[row] = tf.image.resize(gray, shape[:2], tf.image.ResizeMethod.AREA)
        if not is_file.all():
            labels = to_labels([texts[row] for row in np.flatnonzero(~is_file)], names)
            if self.config is None:
                raise UsageError("cond: an export has no test images of a class; give image files")
            grays[~is_file] = self.load(self.config).test_grays(labels)
        return grays

    def check_output(self, output, shape):
        """Refuse a file that samples can't be written to, before they are drawn."""
        super().check_output(output, shape)
        if output.suffix == ".png":
            check_picture(output, shape[1], shape[0] + 1)

    def write_samples(self, output, x, log_prob, cond, distance=None):
        """Write samples into a `.npz`, or a `.png`: a row for each gray image and its colorings."""
        if output.suffix == ".npz":
            super().write_samples(output, x, log_prob, cond, distance)
            return
        x = x.swapaxes(0, 1)
        gray = np.broadcast_to(cond[:, np.newaxis], (len(x), 1, *x.shape[2:]))
        labels = ["gray", *map(str, range(1, x.shape[1] + 1))]
        with writing(output) as scratch:
            panel = Panel(np.concatenate([gray, x], axis=1), column_labels=labels)
            draw_panels([panel], scratch)

    def held_out(self, count):
        """Return the first test images in colors of their own, called by their class."""
        return self._painted(data.Split(*(part[:count] for part in self.images.test)))

    def _painted(self, split):
        batches = self._held_out(split, 250)
        x, gray = (np.concatenate(part) for part in zip(*batches, strict=True))
        return Examples(x, gray, [self.images.class_names[label] for label in split.labels])

    def show(self, x, examples):
        """Show RGB as it is."""
        return x

    def show_conditions(self, examples):
        """Show the gray images."""
        return np.repeat(examples.cond, 3, axis=-1)

    def foreign(self, examples, seed):
        """Return the same digits in colors that aren't their class's too, and in none."""
        count = self.images.num_classes
        labels = to_labels(examples.names, self.images.class_names)
        wrong = (labels + np.random.default_rng(seed).integers(1, count, len(labels))) % count
        gray = np.round(examples.cond * (self.images.levels - 1)).astype(np.uint8)
        x = np.clip(examples.x, 0, 1)
        plain = np.broadcast_to(x.mean(axis=-1, keepdims=True), x.shape)
        return {
            "painted as another class": self._painted(data.Split(gray, wrong.astype(np.int32))),
            "opposite hues": examples._replace(x=tf.image.adjust_hue(x, 0.5).numpy()),
            "no colors": examples._replace(x=plain),
            **super().foreign(examples, seed),
        }


def _model_hues(model, batches, num_samples, temperature, seed):
    """Return the hues of a model's colorings, `[N, num_samples, 2]`."""
    hues = []
    shown = tqdm.tqdm(batches, "color", leave=False, disable=None)
    for number, (_, gray) in enumerate(shown):
        x = model.distribution.sample(gray, num_samples, [seed, number], temperature).numpy()
        hues.append(digit_hues(x, gray.numpy()).swapaxes(0, 1))
    hues = np.concatenate(hues)
    if not np.isfinite(hues).all():
        raise UsageError("a coloring has NaN pixels; lower the temperature, or train further")
    return hues
