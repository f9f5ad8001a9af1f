"""Deterministic signatures run elsewhere: as ONNX, to 1e-5 of the largest value."""

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
from tfp_cinn.export.signatures import signatures
from tfp_cinn.networks import MLP, ConvNet


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


@pytest.mark.parametrize("which", ["model", "images"])
@pytest.mark.parametrize("name", ["decode", "encode", "log_prob"])
def test_deterministic_signatures_run_in_onnxruntime(request, which, name):
    model = request.getfixturevalue(which)
    (signature,) = (s for s in signatures(model, "x", "cond") if s.name == name)
    function = tf.function(signature, input_signature=signature.specs, autograph=False)
    proto, _ = tf2onnx.convert.from_function(function, signature.specs, opset=18)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    rng = np.random.RandomState(0)
    for rows in (1, 7):
        inputs = [
            rng.randint(0, 10, rows).astype("int32")
            if spec.dtype == tf.int32
            else rng.standard_normal((rows, *spec.shape[1:])).astype("float32")
            for spec in signature.specs
        ]
        (expected,) = function(*inputs).values()
        names = [spec.name for spec in signature.specs]
        (got,) = session.run(None, dict(zip(names, inputs, strict=True)))
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
