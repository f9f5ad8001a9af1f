"""A run of images given their class, to be explored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfp_cinn import data
from tfp_cinn.model import CINN
from tfp_cinn.tasks.conditions import first_of_classes, to_labels
from tfp_cinn.tasks.explore.subject import Examples, Scores, Subject, batched

__all__ = ["ExploredClasses"]


class ExploredClasses(Subject):
    """Labeled images, gray or RGB.

    Args:
        model: of images given their class.
        images: the data set.
    """

    def __init__(self, model: CINN, images: data.LabeledImages):
        super().__init__(model)
        self._images = images

    def cases(self, cond: Sequence[str] | None) -> Examples:
        """A test image of each class wanted, all if None."""
        labels = to_labels(cond, self._images.class_names)
        return self._examples(
            self._images.test, first_of_classes(self._images, self._images.test.labels, labels)
        )

    def held_out(self, count: int) -> Examples:
        """The first test images."""
        return self._examples(self._images.test, range(min(count, len(self._images.test.labels))))

    def targets(self, cases: Examples) -> Examples:
        """All classes."""
        names = self._images.class_names
        return Examples(cases.x[:0], np.arange(len(names), dtype=np.int32), names)

    def shown(self, x: np.ndarray, examples: Examples, exact: bool = False) -> np.ndarray:
        """Gray levels from black to white."""
        levels = self._images.levels
        return np.clip(np.floor(x), 0, levels - 1) / (levels - 1)

    def foreign(self, examples: Examples, seed: int) -> dict[str, Examples]:
        """The images turned, inverted and spoilt, other images, and wrong labels for the images."""
        rng = np.random.default_rng(seed)
        top = self._images.levels - 1
        gray = np.floor(examples.x).astype(np.int64)
        plain = gray.mean(axis=(1, 2, 3), keepdims=True)
        sets = {
            "black": np.zeros_like(gray),
            "plain gray": np.broadcast_to(plain, gray.shape),
            "mirrored": gray[:, :, ::-1],
            "upside down": gray[:, ::-1],
            "inverted": top - gray,
            "Gaussian noise on top": gray + rng.normal(0, top / 5, gray.shape),
            "uniform noise": rng.integers(0, top + 1, gray.shape),
        }
        if self._images.name not in ("digits", "mnist"):
            sets["other images: digits"] = self._digits(len(gray))
        number = self._images.num_classes
        wrong = (examples.cond + rng.integers(1, number, len(gray))) % number
        sets = {name: self._noisy(images) for name, images in sets.items()}
        named = {name: Examples(x, None, [""] * len(x)) for name, x in sets.items()}
        names = [self._images.class_names[label] for label in wrong]
        return named | {"wrong class": Examples(examples.x, wrong.astype(np.int32), names)}

    def scores(self, examples: Examples) -> Scores:
        """Without labels of p(x) = mean over classes of p(x | c), z under the likeliest class."""
        if examples.cond is not None:
            return super().scores(examples)
        number = self._images.num_classes
        classes = tf.range(number)[:, tf.newaxis]
        log_prob = tf.function(lambda x: self.dist.log_prob(x, classes))
        every = np.concatenate([log_prob(x) for (x,) in batched(examples.x)], axis=1)
        likeliest = every.argmax(axis=0).astype(np.int32)
        whole = np.logaddexp.reduce(every.astype(np.float64), axis=0) - np.log(number)
        square = super().scores(examples._replace(cond=likeliest)).square
        return Scores(-whole / self.dimensions, square)

    def _examples(self, split, rows):
        split = data.Split(split.images[list(rows)], split.labels[list(rows)])
        names = [self._images.class_names[label] for label in split.labels]
        return Examples(self._dequantized(split), split.labels, names)

    def _noisy(self, images):
        images = np.clip(np.round(images), 0, self._images.levels - 1).astype(np.uint8)
        return self._dequantized(data.Split(images, np.zeros(len(images), np.int32)))

    def _dequantized(self, split):
        return np.concatenate([x.numpy() for x, _ in data.evaluation_batches(split, 1000)])

    def _digits(self, count):
        """Scikit-learn's digits, at the size of the images."""
        digits = data.load("digits")
        few = digits.test.images[np.arange(count) % len(digits.test.images)]
        sized = tf.image.resize(few, self._images.image_shape[:2]).numpy()
        scaled = sized * (self._images.levels - 1) / (digits.levels - 1)
        return np.broadcast_to(scaled, (count, *self._images.image_shape))
