import types

import numpy as np
import pytest


def waves(count, shape, seed=0):
    """Synthetic smooth images: a few sine waves of random direction and phase, -1 to 1."""
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]] / shape[0]
    frequency, phase = 4 * rng.rand(2, count, 1, 1, shape[2]), 7 * rng.rand(count, 1, 1, shape[2])
    return np.sin(x[..., None] * frequency[0] + y[..., None] * frequency[1] + phase)


class Pairs(types.SimpleNamespace):
    """A data set as far as an architecture asks for it, and synthetic batches of it."""

    def batch(self, count, seed=0):
        """x, which the lightness determines but for noise, and the lightness c in Lab units."""
        c = waves(count, self.cond_shape, seed)
        step = self.cond_shape[0] // self.image_shape[0]
        x = c[:, ::step, ::step] * np.linspace(1, 0.5, self.image_shape[2])
        x = x + 0.1 * np.random.RandomState(seed).randn(*x.shape)
        return (10 * x + 5).astype("float32"), (50 + 25 * c).astype("float32")


@pytest.fixture
def pairs():
    return lambda image, cond: Pairs(image_shape=image, cond_shape=cond)
