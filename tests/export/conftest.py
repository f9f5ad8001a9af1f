import numpy as np
import pytest

from tfp_cinn import CINN
from tfp_cinn.bijectors import Chain, Flatten, GlowCoupling, SoftPermutation, Standardize
from tfp_cinn.export import export_model
from tfp_cinn.networks import MLP, OneHot

FACTS = {"dataset": "digits", "class_names": [str(k) for k in range(10)], "levels": 17}


@pytest.fixture(scope="session")
def model():
    """A small flow on digits' shape, its weights moved away from their start."""
    rng = np.random.RandomState(0)
    blocks = [SoftPermutation(0), GlowCoupling(MLP([32])), SoftPermutation(1)]
    flow = Chain([Standardize(8.0, 4.0), Flatten(), *blocks, GlowCoupling(MLP([32]))])
    model = CINN(flow, (8, 8, 1), OneHot(10), cond_shape=())
    for weight in model.trainable_weights:
        weight.assign(weight.numpy() + 0.1 * rng.randn(*weight.shape))
    return model


@pytest.fixture(scope="session")
def published(model, tmp_path_factory):
    """The folder of an exported version, which tests must not change."""
    return export_model(model, tmp_path_factory.mktemp("models") / "digits", facts=FACTS)


@pytest.fixture
def rows():
    """Values for every input of a number of rows."""

    def rows(count, seed=0):
        rng = np.random.RandomState(seed)
        return {
            "x": rng.uniform(0, 17, (count, 8, 8, 1)).astype(np.float32),
            "z": rng.randn(count, 64).astype(np.float32),
            "cond": rng.randint(0, 10, count).astype(np.int32),
            "seed": rng.randint(-(2**31), 2**31 - 1, (count, 2)).astype(np.int32),
            "temperature": rng.uniform(0, 1.2, count).astype(np.float32),
            "row": np.arange(count, dtype=np.int32),
        }

    return rows


def some(values, session, signature):
    """Those of the values that a signature takes."""
    return {key: values[key] for key in session.signatures[signature][0]}
