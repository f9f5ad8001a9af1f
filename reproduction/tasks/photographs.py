"""Colors of photographs given their lightness."""

import numpy as np
import tensorflow as tf

from reproduction.tasks.task import DRAWS, Task
from tfp_cinn.color import split_lab
from tfp_cinn.metrics import coverage, recall
from tfp_cinn.metrics.feature_network import efficientnet_lite0, find_efficientnet_lite0
from tfp_cinn.tasks.colorization.judge import judge_colorings


class Photographs(Task):
    """Photographs' colors given their lightness, at 32 x 32 pixels."""

    file = "photos.py"
    source = "data__folder"
    base = {
        "data__size": 32,
        "data__ab_size": 32,
        "data__downscale": 16,
    }

    def likelihood_batches(self, limit=None):
        return self.experiment.test_batches(32)

    def measure(self, sampler, seed):
        first = []

        def paint(lightness, number):
            ab = sampler(np.asarray(lightness), DRAWS, (seed << 16) + number)
            first.append(_coarse(ab[0]))
            return ab

        figures, photos, non_finite = self._judged({"method": paint})
        true = [_coarse(x) for x, _ in self.likelihood_batches()]
        pair = np.concatenate(true), np.concatenate(first)
        return {each.name: each.mean for each in figures if each.of == "method"} | {
            "coverage": coverage(*pair).mean(),
            "recall": recall(*pair).mean(),
            "non_finite": float(non_finite),
        }

    def references(self):
        """Figures of images that no model made."""
        shape = self.experiment.image_shape
        mean = self.experiment.mean_color()

        def plain(ab):
            return lambda lightness, _: np.broadcast_to(np.float32(ab), (1, len(lightness), *shape))

        rows = {}
        for each in self._judged({"gray": plain(0), "mean_color": plain(mean)}).figures:
            rows.setdefault(each.of, {})[each.name] = each.mean
        return rows

    def _judged(self, painters):
        path = find_efficientnet_lite0()
        network = efficientnet_lite0(path) if path and not self.fast else None
        return judge_colorings(self.experiment, painters, DRAWS, network)

    def show(self, sampler, seed):
        """Of one crop of each test photograph: L, its ab, and ab eight times."""
        crops, photos = zip(*self.experiment.test_crops(32), strict=True)
        crops, photos = np.concatenate(crops), np.concatenate(photos)
        first = np.unique(photos, return_index=True)[1]
        parts = split_lab(crops[first], self.experiment.image_shape[:2])
        ab = sampler(parts.small_L.numpy(), DRAWS, seed)
        return {"L": parts.L, "ab": ab.swapaxes(0, 1), "true_ab": parts.small_ab}

    def timed_cond(self):
        return next(iter(self.experiment.test_batches(32)))[1].numpy()


def _coarse(ab):
    """Colors of 4 x 4 areas, `[N, 32]`, by which colorings are compared as a set."""
    ab = tf.image.resize(ab, (4, 4), tf.image.ResizeMethod.AREA).numpy()
    return ab.reshape(len(ab), -1)
