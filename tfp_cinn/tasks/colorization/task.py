"""Colors of photographs given their lightness."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from tfp_cinn import data
from tfp_cinn.color import LAB_SCALES, split_lab, to_rgb
from tfp_cinn.data.image_files import read_image
from tfp_cinn.errors import UsageError
from tfp_cinn.files import writing
from tfp_cinn.metrics import Figure, feature_network, likelihood
from tfp_cinn.plots.panels import Panel, draw_panels
from tfp_cinn.tasks.colorization.judge import judge_colorings
from tfp_cinn.tasks.colorization.photographs import (
    check_size,
    color_photographs,
    colorize,
    find_images,
)
from tfp_cinn.tasks.explore.explorable import Examples
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
        self.event_shape = (ab_size, ab_size, 2)
        self.cond_shape = (size, size, 1)
        self._lightness: dict[str, tf.Tensor] = {}  # of photographs from files, in full
        self.noise = noise_std * np.array(LAB_SCALES[1:], np.float32)
        self.description = {
            "dataset": name,
            "image_shape": list(self.event_shape),
            "cond_shape": list(self.cond_shape),
        }

    @classmethod
    def load(cls, config: Mapping[str, Any]) -> Colorization:
        """See `Task.load`: `photos` from a `folder`, or a set that tensorflow-datasets has."""
        section = config["data"]
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
    def without_data(cls, config: Mapping[str, Any]) -> Colorization:
        """See `Task.without_data`."""
        section = config["data"]
        photos = data.no_photos(section["folder"] or section["name"], section["size"])
        return cls(photos, section["ab_size"], section["noise_std"], _public(section["name"]))

    def training_batches(self, batch_size, seed, epoch=None):
        """Noisy ab and L of random crops."""
        crops = data.training_crops(self.photos.train, batch_size, seed=seed, epoch=epoch)
        return crops.map(self._example, tf.data.AUTOTUNE, deterministic=True).prefetch(2)

    def validation_batches(self, batch_size):
        """Noisy ab and L of a few crops of each held-out photograph."""
        if _is_empty(self.photos.validation):
            return None
        return self._held_out(self._crops(self.photos.validation, batch_size))

    def test_batches(self, batch_size):
        """Noisy ab and L of a few crops of each test photograph, the same each time."""
        return self._held_out(self.test_crops(batch_size))

    def test_crops(self, batch_size: int) -> tf.data.Dataset:
        """The crops behind `test_batches`, `[B, H, W, 3]`, and which photograph each is of, `[B]`.

        Raises:
            UsageError: if there are none.
        """
        if _is_empty(self.photos.test):
            raise UsageError(f"{self.photos.name}: no test photographs; set test_fraction")
        return self._crops(self.photos.test, batch_size)

    def mean_color(self) -> np.ndarray:
        """Mean ab, `[2]`, of a few crops of each training photograph."""
        crops = self._crops(self.photos.train, 32)
        means = [split_lab(rgb, (1, 1)).small_ab[:, 0, 0] for rgb, _ in crops]
        return np.concatenate(means).mean(axis=0)

    def _crops(self, split, batch_size):
        return data.evaluation_crops(split, batch_size, per_photo=_CROPS_A_PHOTO)

    def _held_out(self, crops):
        # Noise as in training, on which the likelihood depends.
        return crops.enumerate().map(
            lambda number, crop: self._example(crop[0], tf.stack([number, 0])), tf.data.AUTOTUNE
        )

    def _example(self, rgb, key):
        parts = split_lab(rgb, self.event_shape[:2])
        noise = tf.random.stateless_normal(tf.shape(parts.small_ab), key, alg="philox")
        return parts.small_ab + self.noise * noise, parts.L

    def draw_samples(self, model, workdir):
        """Held-out crops in gray, colored six times, and as they were."""
        photos = self.photos
        split = photos.train if _is_empty(photos.validation) else photos.validation
        rgb, _ = next(iter(data.evaluation_crops(split, _SHOWN, per_photo=1)))
        lightness = split_lab(rgb, self.event_shape[:2]).L
        ab = model.distribution.sample(lightness, sample_shape=6, seed=0)
        gray = to_rgb(lightness, tf.zeros_like(ab[0]))
        sheet = tf.stack([gray, *tf.unstack(to_rgb(lightness, ab)), rgb], axis=1)
        with workdir.writing("samples.png") as scratch:
            labels = ["gray", *map(str, range(1, 7)), "original"]
            draw_panels([Panel(sheet.numpy(), column_labels=labels)], scratch)

    def measure(self, model, batch_size=32, num_samples=8, temperature=1.0, seed=0):
        """Measure a model on crops of test photographs.

        Beside the model's colorings are judged those that need none: the gray image, the training
        photographs' mean color, and the photograph itself, so that each figure is seen to behave.
        Judged are crops (up to four a photograph, at the crops' resolution); errors are over
        photographs, since crops of one resemble each other: a bootstrap's, and a jackknife's of the
        Frechet distance. docs/evaluation.md says what each figure means and where it misleads; what
        needs a feature network is left out if EfficientNet-Lite0 isn't installed.

        Args:
            model: the model.
            batch_size: crops a batch.
            num_samples: colorings of each crop, 2 or more.
            temperature: factor on the latents.
            seed: of the colorings and of the resampling.

        Returns:
            Likelihood of ab in Lab units with the noise of training; and figures of `model`,
            `gray`, `mean_color` and `truth`.

        Raises:
            UsageError: if photographs or an argument are wrong.
        """
        if num_samples < 2:
            raise UsageError("num_samples: expected 2 or more, as variance is over them, got 1")
        weights = feature_network.find_efficientnet_lite0()
        network = weights and feature_network.efficientnet_lite0(weights)
        mean = self.mean_color()

        def painted(lightness, number):
            return model.distribution.sample(lightness, num_samples, [seed, number], temperature)

        def plain(ab):
            shape = self.event_shape
            return lambda lightness, _: np.broadcast_to(np.float32(ab), (1, len(lightness), *shape))

        painters = {"model": painted, "gray": plain(0), "mean_color": plain(mean)}
        figures, photos, non_finite = judge_colorings(
            self, painters, num_samples, network, batch_size, seed
        )
        nats = likelihood(model, self.test_batches(batch_size), photos)
        if not network:
            install = feature_network.INSTALL
            print(f"fid_lite0 and top5_agreement are left out: {install} adds them")
        counts = {
            "num_test": (len(photos), "crops", "judged"),
            "num_photos": (len(np.unique(photos)), "photographs", "that they are of"),
            "non_finite_samples": (non_finite, "colorings", "with NaN or infinite colors"),
        }
        return [
            *nats,
            *(Figure(n).named(name, *words) for name, (n, *words) in counts.items()),
            *figures,
        ]

    def colorize(self, model, gray, seed, temperature):
        """Color gray photographs, as the export's signature of this name does."""
        return colorize(model, gray, seed, temperature)

    def sample(self, sampler, cond, num_samples, temperature, seed, output):
        """Color photographs; see `color_photographs`."""
        color_photographs(sampler, cond, num_samples, temperature, seed, output)
        if "condition_range" in self.description:
            size = self.cond_shape[:2]
            images = map(read_image, find_images(cond))
            self.condition_distances(np.stack([split_lab(rgb, size).small_L for rgb in images]))

    def held_out(self, count):
        """Return the first crops of test photographs, with noise, called by their photograph."""
        crops = self.test_crops(100).take(-(-count // 100))
        parts = [
            (*self._example(rgb, tf.constant([number, 0], tf.int64)), photo)
            for number, (rgb, photo) in enumerate(crops)
        ]
        x, lightness, photos = (np.concatenate(part) for part in zip(*parts, strict=True))
        names = [f"photo {number}" for number in photos]
        return Examples(x, lightness, names).take(slice(count))

    def cases(self, texts, dist):
        """Return photographs from files, without noise; crops of held-out ones if None."""
        if texts is None:
            return super().cases(None, dist)
        paths = find_images(texts)
        names = [pathlib.Path(path).stem for path in paths]
        if len(paths) > _SHOWN or len(set(names)) < len(names):
            raise UsageError(f"cond: expected up to {_SHOWN} photographs of different names")
        x, cond = [], []
        for path, name in zip(paths, names, strict=True):
            rgb = read_image(path)
            check_size(self, rgb)
            parts = split_lab(rgb, self.cond_shape[:2])
            self._lightness[name] = parts.L
            cond.append(parts.small_L)
            x.append(split_lab(rgb, self.event_shape[:2]).small_ab)
        return Examples(np.stack(x), np.stack(cond), names)

    def show(self, x, examples):
        """Show the photographs in these colors, at the size of the condition."""
        return to_rgb(examples.cond, x).numpy()

    def show_conditions(self, examples):
        """Show the photographs in gray."""
        return self.show(np.zeros_like(examples.x), examples)

    def write_transfers(self, x, cases, folder):
        """Write photographs from files in each other's colors, in full resolution."""
        for source, target in itertools.permutations(range(len(cases.names)), 2):
            lightness = self._lightness.get(cases.names[target])
            if lightness is None:
                return
            path = folder / f"transfer_{cases.names[source]}_to_{cases.names[target]}.png"
            rgb = to_rgb(lightness, x[target, source]).numpy()
            with writing(path) as scratch:
                Image.fromarray(np.round(255 * np.nan_to_num(rgb)).astype(np.uint8)).save(scratch)
            print(path, flush=True)

    def foreign(self, examples, seed):
        """Return the same lightness in opposite hues and in no colors too."""
        noise = self.noise * np.random.default_rng(seed).standard_normal(examples.x.shape)
        return {
            "opposite hues": examples._replace(x=-examples.x),
            "no colors": examples._replace(x=np.float32(noise)),
            **super().foreign(examples, seed),
        }


def _is_empty(split: data.PhotoSplit) -> bool:
    return split.shapes is not None and not len(split.shapes)


def _public(name: str) -> str:
    return "photographs" if name == "photos" else name
