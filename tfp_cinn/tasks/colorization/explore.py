"""A colorization run, to be explored."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from tfp_cinn.color import split_lab, to_rgb
from tfp_cinn.data.image_files import read_image
from tfp_cinn.errors import UsageError
from tfp_cinn.model import CINN
from tfp_cinn.tasks.colorization.photographs import check_size, on_white, reduced
from tfp_cinn.tasks.explore.subject import Examples, Subject
from tfp_cinn.tasks.task import Task
from tfp_cinn.workdir import Workdir

__all__ = ["ExploredColorings"]

_BATCH = 32
_CASES = 4
_MOST_FILES = 8


class ExploredColorings(Subject):
    """Colors of photographs given their lightness.

    Args:
        model: a colorization model.
        experiment: its data.
    """

    style = "Color"
    tools = (*Subject.tools[:4], "scales", *Subject.tools[4:])

    def __init__(self, model: CINN, experiment: Task):
        super().__init__(model)
        self._experiment = experiment
        self._files: dict[str, tf.Tensor] = {}  # lightness in full

    def cases(self, cond: Sequence[str] | None) -> Examples:
        """Photographs from files, without noise; crops of four held-out ones if None."""
        if cond is None:
            return self._crops()
        if not 1 <= len(cond) <= _MOST_FILES:
            raise UsageError(f"cond: expected 1 to {_MOST_FILES} photographs, got {len(cond)}")
        size, rows = self.model.cond_shape[:2], []
        names = [pathlib.Path(path).stem for path in cond]
        if len(set(names)) < len(names):
            raise UsageError("cond: expected photographs of different names, some are alike")
        for path, name in zip(cond, names, strict=True):
            rgb = read_image(path)
            try:
                check_size(self.model, rgb)
            except UsageError as error:
                raise UsageError(f"{path}: {error}") from None
            parts = split_lab(rgb, size)
            ab = split_lab(rgb, self._experiment.event_shape[:2]).small_ab
            self._files[name] = parts.L
            rows.append((ab, parts.small_L, split_lab(reduced(rgb[np.newaxis])[0], (1, 1)).L))
        x, cond, canvas = zip(*rows, strict=True)
        return Examples(np.stack(x), np.stack(cond), names, list(map(np.asarray, canvas)))

    def held_out(self, count: int) -> Examples:
        """The first crops of test photographs, with noise."""
        batches = self._experiment.test_batches(_BATCH)
        x, cond = (np.concatenate(part)[:count] for part in zip(*batches, strict=True))
        photos = [photo.numpy() for _, photo in self._experiment.test_crops(_BATCH)]
        return Examples(x, cond, [f"photo {n}" for n in np.concatenate(photos)[:count]])

    def shown(self, x: np.ndarray, examples: Examples, exact: bool = False) -> np.ndarray:
        """The photographs in these colors, on white where sizes differ."""
        canvas = examples.cond if examples.canvas is None else examples.canvas
        method = "bilinear" if exact else "joint_bilateral"
        if len({each.shape for each in canvas}) == 1:
            return to_rgb(np.stack(canvas), x, method).numpy()
        x = np.moveaxis(x, -4, 0)
        images = [to_rgb(L, ab, method).numpy() for L, ab in zip(canvas, x, strict=True)]
        return np.moveaxis(on_white(images), 0, -4)

    def conditions_shown(self, examples: Examples) -> np.ndarray:
        """The photographs in gray."""
        return self.shown(np.zeros_like(examples.x), examples)

    def write_transfers(
        self, x: np.ndarray, cases: Examples, folder: pathlib.Path
    ) -> list[pathlib.Path]:
        """Photographs from files in each other's colors, at full resolution."""
        pairs = itertools.permutations(range(len(cases.names)), 2) if self._files else ()
        paths = []
        for source, target in pairs:
            name = f"transfer_{cases.names[source]}_to_{cases.names[target]}.png"
            rgb = to_rgb(self._files[cases.names[target]], x[target, source]).numpy()
            with Workdir(folder).writing(name) as scratch:
                Image.fromarray(np.round(255 * np.nan_to_num(rgb)).astype(np.uint8)).save(scratch)
            paths.append(folder / name)
        return paths

    def foreign(self, examples: Examples, seed: int) -> dict[str, Examples]:
        """The same lightness in colors that aren't its own, and in none."""
        rng = np.random.default_rng(seed)
        x = examples.x
        a, b = np.moveaxis(x, -1, 0)
        pixels = rng.permuted(np.broadcast_to(np.arange(a[0].size), (len(x), a[0].size)), axis=1)
        scrambled = np.take_along_axis(x.reshape(len(x), -1, 2), pixels[..., np.newaxis], axis=1)
        noise = self._experiment.noise * rng.standard_normal(x.shape)
        sets = {
            "colors of another photograph": np.roll(x, len(x) // 2, axis=0),
            "mirrored colors": x[:, :, ::-1],
            "opposite hues": -x,
            "hues turned by 90 degrees": np.stack([-b, a], axis=-1),
            "twice as colorful": 2 * x,
            "no colors": noise,
            "pixels scrambled": scrambled.reshape(x.shape),
        }
        return {name: examples._replace(x=np.float32(x)) for name, x in sets.items()}

    def _crops(self):
        """A crop of each of the first test photographs."""
        crops, seen = [], []
        for batch, photos in self._experiment.test_crops(_BATCH):
            crops += list(batch.numpy())
            seen += photos.numpy().tolist()
            first = [seen.index(photo) for photo in dict.fromkeys(seen)][:_CASES]
            if len(first) == _CASES:
                break
        parts = split_lab(np.stack([crops[n] for n in first]), self._experiment.event_shape[:2])
        names = [f"photo {seen[n]}" for n in first]
        return Examples(parts.small_ab.numpy(), parts.L.numpy(), names)
