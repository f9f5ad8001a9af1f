"""Deterministic signatures run elsewhere: as ONNX, to 1e-5 of the largest value."""

import sys

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
import tf2onnx

from tfp_cinn import CINN
from tfp_cinn.bijectors import (
    ActNorm,
    Chain,
    FactorOut,
    Flatten,
    GlowCoupling,
    HaarDownsampling,
    Select,
    SoftPermutation,
)
from tfp_cinn.export import export as run
from tfp_cinn.export.session import SavedModelSession
from tfp_cinn.export.signatures import signatures
from tfp_cinn.networks import MLP, ConvNet

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def images():
    """A flow of images at two scales, given an image."""
    image = keras.Input((8, 8, 1))
    large = keras.layers.Conv2D(3, 3, padding="same", activation="tanh")(image)
    small = keras.layers.Dense(4)(keras.layers.Flatten()(large))
    conv = GlowCoupling(ConvNet([5], zero_last=False), event_ndims=3)
    dense = GlowCoupling(MLP([8], zero_last=False))
    deep = Chain([Flatten(), SoftPermutation(1), Select("small", dense)])
    flow = [ActNorm(), Select("large", conv), HaarDownsampling(), FactorOut(4, deep)]
    conditioner = keras.Model(image, {"large": large, "small": small})
    return CINN(Chain(flow), (8, 8, 2), conditioner, (8, 8, 1))


@pytest.fixture(scope="module")
def saved(images, published, tmp_path_factory):
    """Folders of two exports; the second without what else belongs to a version."""
    path = tmp_path_factory.mktemp("models") / "1"
    served = signatures(images, "x", "cond")[1:]
    run._write_saved_model(path, {s.name: (s, run._traced(s, xla=False)) for s in served})
    return {"digits": str(published), "images": str(path)}


@pytest.mark.parametrize("which", ["digits", "images"])
@pytest.mark.parametrize("name", ["decode", "encode", "log_prob"])
def test_deterministic_signatures_run_in_onnxruntime(saved, tmp_path, monkeypatch, which, name):
    """Converted by the command of docs/serving.md."""
    file = str(tmp_path / "model.onnx")
    command = ["--saved-model", saved[which], "--tag", "serve", "--signature_def", name]
    monkeypatch.setattr(sys, "argv", ["tf2onnx.convert", *command, "--output", file])
    tf2onnx.convert.main()
    converted = onnxruntime.InferenceSession(file)
    rng = np.random.RandomState(0)
    with SavedModelSession(saved[which]) as loaded:
        for rows in (1, 7):
            inputs = {}
            for key, info in loaded.signatures[name].inputs.items():
                row = tf.TensorShape(info.tensor_shape).as_list()[1:]
                inputs[key] = rng.standard_normal((rows, *row)).astype("float32")
                if info.dtype == tf.int32:
                    inputs[key] = rng.randint(0, 10, rows).astype("int32")
            (expected,) = loaded.predict(name, inputs).values()
            (got,) = converted.run(None, inputs)
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
