"""Every exported bijector answers by the session loader as in Python, in one model of them all."""

import inspect

import keras
import numpy as np
import pytest

from tfp_cinn import CINN
from tfp_cinn import bijectors as b
from tfp_cinn.export import export_model
from tfp_cinn.export.session import SavedModelSession
from tfp_cinn.latent.noise import noise
from tfp_cinn.networks import MLP, ConvNet

MAPS, VECTORS = ConvNet([3], "tanh"), MLP([4], "tanh")


def flow():
    """Two flows of positive maps `[4, 4, 2]`; between them they have all classes."""
    spline = b.RationalQuadraticSpline(4)
    embedded = b.Embed(keras.layers.Dense(2), b.AffineCoupling(MAPS, event_ndims=3))
    dense = [b.Flatten(), b.SoftPermutation(1), b.GlowCoupling(VECTORS), b.HeavyTails()]
    one = [
        b.Exp(),
        b.Coupling(MAPS, spline, b.Checkerboard(), event_ndims=3),
        b.HaarDownsampling(),
        b.Linear(2),
        b.FactorOut(4, b.Chain(dense)),
    ]
    other = [
        b.Softplus(),
        b.Standardize(0.5, 2.0),
        b.ActNorm(),
        b.Squeeze(),
        b.Select(None, b.AdditiveCoupling(MAPS, event_ndims=3)),
        embedded,
        b.Reshape((2, 2, 8), (32,)),
        b.Bounded(-1e3, 1e3),
        b.Householder(3, seed=3),
        b.RandomPermutation(3),
        b.ElementwiseConditional(VECTORS, spline),
    ]
    return b.Ensemble([b.Chain(one), b.Chain(other)])


def classes(bijector):
    return {type(bijector).__name__}.union(*map(classes, bijector.members()))


@pytest.mark.long
def test_answers_are_those_of_python(perturb, tmp_path):
    model = CINN(flow(), (4, 4, 2), cond_shape=(3,))
    exported = {
        name
        for name, kind in inspect.getmembers(b, inspect.isclass)
        if issubclass(kind, b.ConditionalBijector) and kind is not b.ConditionalBijector
    }
    assert classes(model.bijector) == exported
    perturb(model.bijector.layers, std=0.1)
    rng = np.random.default_rng(0)
    v = {
        "x": np.exp(rng.normal(size=(5, 4, 4, 2))),
        "z": rng.normal(size=(5, 34)),
        "cond": rng.normal(size=(5, 3)),
        "temperature": np.linspace(0, 1, 5),
    }
    v = {name: value.astype("float32") for name, value in v.items()}
    v["seed"] = rng.integers(0, 99, (5, 2)).astype("int32")
    dist = model.distribution
    drawn = noise(v["seed"], (34,), "float32") * v["temperature"][:, np.newaxis]
    expected = {
        "sample": dist.decode(drawn, v["cond"]),
        "decode": dist.decode(v["z"], v["cond"]),
        "encode": dist.encode(v["x"], v["cond"]),
        "log_prob": dist.log_prob(v["x"], v["cond"]),
    }
    path = export_model(model, tmp_path / "flow", batch_sizes=[1, 5])
    with SavedModelSession(path) as loaded:
        for name, whole in expected.items():
            for count in (1, 5):
                inputs = {key: v[key][:count] for key in loaded.signatures[name].inputs}
                (got,) = loaded.predict(name, inputs).values()
                # Rounding alone: a matrix product adds up in an order that depends on the batch.
                np.testing.assert_allclose(got, whole[:count], rtol=1e-4, atol=1e-4)
