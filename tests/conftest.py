import pathlib
from typing import NamedTuple

import hypothesis
import keras
import numpy as np
import pytest

from tests.helpers.exporting import verify_in_process
from tfp_cinn import CINN, data
from tfp_cinn.bijectors import Chain, Flatten, GlowCoupling, SoftPermutation, Standardize
from tfp_cinn.export import export, export_model
from tfp_cinn.metrics import train_classifier
from tfp_cinn.networks import MLP, OneHot

# No time limit: machines that run tests are busy. `make test` has the same few examples each time.
hypothesis.settings.register_profile("tests", max_examples=15, derandomize=True, deadline=None)
hypothesis.settings.register_profile("fresh", deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("tests")


@pytest.fixture(autouse=True, scope="session")
def no_fresh_process():
    """Exports replay their warm-up in this process; tests/export has one in a fresh one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "verify", verify_in_process)
        yield


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture
def perturb():
    """Moves all trainable weights away from their start: an identity passes anything."""
    return _perturb


def _perturb(layers, std=0.3, seed=1):
    rng = np.random.RandomState(seed)
    for layer in layers:
        for w in layer.trainable_weights:
            w.assign(w.numpy() + std * rng.randn(*w.shape).astype(w.dtype))


@pytest.fixture(scope="session")
def digits():
    return data.load("digits")


@pytest.fixture(scope="session")
def classifier(digits):
    with pytest.MonkeyPatch.context() as patch:
        # A third of what `evaluate` takes; it recognizes nearly as many.
        patch.setattr("tfp_cinn.metrics.classifier._MAX_EPOCHS", 10)
        return train_classifier(digits)


class Exported(NamedTuple):
    model: CINN
    path: pathlib.Path  # of the version, MODELS/digits/1
    class_names: list[str]


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A small flow of digits, not trained, and where it was exported to."""
    keras.utils.set_random_seed(0)
    flow = [Standardize(4.9, 6.0), Flatten()]
    for k in range(2):
        flow += [SoftPermutation(k), GlowCoupling(MLP([16]), clamp=1.0)]
    model = CINN(Chain(flow), (8, 8, 1), OneHot(10), cond_shape=())
    _perturb(model.bijector.layers, std=0.1)
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    facts = {"dataset": "digits", "class_names": names, "levels": 17}
    folder = tmp_path_factory.mktemp("models") / "digits"
    return Exported(model, export_model(model, folder, facts=facts), names)
