"""Colors of photographs given their lightness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn import data
from tfp_cinn.color import LAB_SCALES, split_lab, to_rgb
from tfp_cinn.errors import UsageError
from tfp_cinn.plots.pictures import draw_sheet
from tfp_cinn.tasks.task import Task, register

__all__ = ["Colorization"]

_CROPS_A_PHOTO = 4  # of held-out photographs
_SHOWN = 8


@register("colorization")
class Colorization(Task):
    """Photographs: x is the ab of CIE Lab at a low resolution, given L at the crop's.

    Args:
        photos: the photographs.
        ab_size: rows and columns of x, at most those of the crops.
        noise_std: Gaussian noise on x, in units of `LAB_SCALES`.
        name: what a served model calls them in public: not their folder.

    Raises:
        UsageError: if `ab_size` or the noise is out of range.
    """

    x_meaning = "ab of CIE Lab"
    cond_meaning = "L of CIE Lab, 0 to 100"
    signatures = ("colorize",)
    samples_file = "samples.png"

    def __init__(
        self,
        photos: data.Photos,
        ab_size: int,
        noise_std: float = 0.0,
        name: str = "photographs",
    ):
        size = photos.train.size
        if not 1 <= ab_size <= size:
            raise UsageError(f"ab_size: expected 1 to {size}, the size of the crops, got {ab_size}")
        if not noise_std >= 0:
            raise UsageError(f"noise_std: expected 0 or more, got {noise_std}")
        self.photos = photos
        self._name = name
        self._ab_size = ab_size
        self.noise = noise_std * np.array(LAB_SCALES[1:], np.float32)

    @classmethod
    def load(cls, section: Mapping[str, Any], model: Mapping[str, Any]) -> Colorization:
        """Loads what the `data` section of a config names.

        Args:
            section: the config's `data`: `photos` from its `folder`, or a set that
                tensorflow-datasets has prepared.
            model: the config's `model`.

        Raises:
            UsageError: if the photographs can't be had.
        """
        common = {"size": section["size"], "downscale": section["downscale"]}
        if section["name"] == "photos":
            if not section["folder"]:
                raise UsageError(
                    "config.data.folder: expected a folder of photographs, got none; "
                    "tools/gather_photos can make one"
                )
            photos = data.load_photos(
                section["folder"],
                validation_fraction=section["validation_fraction"],
                test_fraction=section["test_fraction"],
                **common,
            )
        else:
            photos = data.load_prepared_photos(
                section["name"], data_dir=section["data_dir"], **common
            )
        print(photos.summary)
        return cls(photos, section["ab_size"], section["noise_std"], _public(section["name"]))

    @classmethod
    def without_data(cls, section: Mapping[str, Any], model: Mapping[str, Any]) -> Colorization:
        """See `Task.without_data`."""
        photos = data.no_photos(section["folder"] or section["name"], section["size"])
        return cls(photos, section["ab_size"], section["noise_std"], _public(section["name"]))

    @property
    def event_shape(self):
        """Shape of ab, `(h, w, 2)`."""
        return (self._ab_size, self._ab_size, 2)

    @property
    def cond_shape(self):
        """Shape of L, `(H, W, 1)`."""
        return (self.photos.train.size, self.photos.train.size, 1)

    @property
    def facts(self):
        """Name and shapes."""
        return {
            "name": self._name,
            "image_shape": list(self.event_shape),
            "cond_shape": list(self.cond_shape),
        }

    def training_batches(self, batch_size, seed, epoch=None):
        """Noisy ab and L of random crops."""
        crops = data.training_crops(
            self.photos.train, batch_size, seed=seed, epoch=epoch, numbered=True
        )
        own = -1 - seed % (1 << 63)  # the crops' keys begin with what isn't negative

        def example(rgb: tf.Tensor, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return self._example(rgb, tf.stack([own, number]))

        return crops.map(example, tf.data.AUTOTUNE, deterministic=True).prefetch(2)

    def validation_batches(self, batch_size):
        """Noisy ab and L of a few crops of each held-out photograph."""
        if _is_empty(self.photos.validation):
            return None
        return self._held_out(self.photos.validation, batch_size)

    def test_batches(self, batch_size: int) -> tf.data.Dataset:
        """Noisy ab and L of a few crops of each test photograph, the same each time.

        Args:
            batch_size: crops a batch.

        Raises:
            UsageError: if there are none.
        """
        self._check_has_test()
        return self._held_out(self.photos.test, batch_size)

    def test_crops(self, batch_size: int) -> tf.data.Dataset:
        """The crops behind `test_batches`, `[B, H, W, 3]`, and which photograph each is of, `[B]`.

        Args:
            batch_size: crops a batch.

        Raises:
            UsageError: if there are none.
        """
        self._check_has_test()
        return data.evaluation_crops(
            self.photos.test, batch_size, per_photo=_CROPS_A_PHOTO, numbered=True
        )

    def mean_color(self) -> np.ndarray:
        """Mean ab, `[2]`, of a few crops of each training photograph."""
        crops = data.evaluation_crops(self.photos.train, 32, per_photo=_CROPS_A_PHOTO)
        means = [split_lab(rgb, (1, 1)).small_ab[:, 0, 0] for rgb in crops]
        return np.concatenate(means).mean(axis=0)

    def _check_has_test(self):
        if _is_empty(self.photos.test):
            raise UsageError(f"{self.photos.name}: no test photographs; set test_fraction")

    def _held_out(self, split, batch_size):
        crops = data.evaluation_crops(split, batch_size, per_photo=_CROPS_A_PHOTO)
        # Noise as in training, on which the likelihood depends.
        return crops.enumerate().map(
            lambda number, rgb: self._example(rgb, tf.stack([number, 0])), tf.data.AUTOTUNE
        )

    def _example(self, rgb, key):
        parts = split_lab(rgb, (self._ab_size, self._ab_size))
        noise = tf.random.stateless_normal(tf.shape(parts.small_ab), key, alg="philox")
        return parts.small_ab + self.noise * noise, parts.L

    def draw_samples(self, model, workdir):
        """Held-out crops in gray, colored six times, and as they were."""
        photos = self.photos
        split = photos.train if _is_empty(photos.validation) else photos.validation
        rgb = next(iter(data.evaluation_crops(split, _SHOWN, per_photo=1)))
        lightness = split_lab(rgb, (self._ab_size, self._ab_size)).L
        ab = model.distribution.sample(lightness, sample_shape=6, seed=0)
        gray = to_rgb(lightness, tf.zeros_like(ab[0]))
        sheet = tf.stack([gray, *tf.unstack(to_rgb(lightness, ab)), rgb], axis=1)
        with workdir.writing("samples.png") as scratch:
            draw_sheet(sheet.numpy(), scratch, ["gray", *map(str, range(1, 7)), "original"])

    @classmethod
    def evaluate(cls, workdir, source=None, **options):
        """See `evaluate_colorings`."""
        from tfp_cinn.tasks.colorization.evaluate import evaluate_colorings

        return evaluate_colorings(workdir, folder=source, **options)

    @classmethod
    def sample(cls, workdir, cond, num_samples, temperature, seed, output):
        """See `sample_colorings`."""
        from tfp_cinn.tasks.colorization.photographs import sample_colorings

        sample_colorings(workdir, cond, num_samples, temperature, seed, output)

    @classmethod
    def subject(cls):
        """See `ExploredColorings`."""
        from tfp_cinn.tasks.colorization.explore import ExploredColorings

        return ExploredColorings


def _is_empty(split: data.PhotoSplit) -> bool:
    return split.shapes is not None and not len(split.shapes)


def _public(name: str) -> str:
    return "photographs" if name == "photos" else name
