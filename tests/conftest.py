import keras
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture
def perturb():
    """Moves all trainable weights away from their start: an identity passes anything."""

    def perturb(layers, std=0.3, seed=1):
        rng = np.random.RandomState(seed)
        for layer in layers:
            for w in layer.trainable_weights:
                w.assign(w.numpy() + std * rng.randn(*w.shape).astype(w.dtype))

    return perturb
