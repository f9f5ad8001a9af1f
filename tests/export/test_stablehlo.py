"""JAX gives, in a process without TensorFlow, what the session loader gives."""

import os
import subprocess
import sys

import gpu_artifacts
import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.exporting import some
from tfp_cinn import CINN, FusedAdam, UsageError
from tfp_cinn.bijectors import Chain, GlowCoupling, SoftPermutation
from tfp_cinn.export import export_model
from tfp_cinn.export.session import SavedModelSession
from tfp_cinn.export.stablehlo import lower
from tfp_cinn.networks import MLP, OneHot

# As in docs/gpu.md, with the weights as they are and others.
_SERVE = """
import pathlib, sys
import jax
import numpy as np

folder, values, output = map(pathlib.Path, sys.argv[1:])
values, weights = (dict(np.load(path)) for path in (values, folder / "weights.npz"))
answers = {}
for signature in ("sample", "log_prob", "encode", "decode"):
    exported = jax.export.deserialize(bytearray((folder / f"{signature}-4.jax").read_bytes()))
    assert "HIGHEST" in exported.mlir_module()  # products on GPUs aren't rounded to TF32
    (_, inputs), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
    function = jax.jit(exported.call)
    inputs = {name: values[name] for name in inputs}
    (answers[signature],) = function(weights, inputs).values()
    others = {name: 1.1 * w for name, w in weights.items()}
    (answers[f"other {signature}"],) = function(others, inputs).values()
assert not any(name.startswith(("tensorflow", "tfp_cinn")) for name in sys.modules)
np.savez(output, **answers)
"""


def test_jax_answers_as_the_session_loader(model, tmp_path, rows):
    path = export_model(model, tmp_path / "digits", batch_sizes=[4], stablehlo=True)
    values = rows(4)
    values["cond"][2] = 10  # no such class: NaN
    np.savez(tmp_path / "values.npz", **values)
    arguments = (path / "stablehlo", tmp_path / "values.npz", tmp_path / "answers.npz")
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    subprocess.run(
        [sys.executable, "-c", _SERVE, *map(str, arguments)], check=True, env=environment
    )
    answers = np.load(tmp_path / "answers.npz")
    with SavedModelSession(path) as session:
        for signature in ("sample", "log_prob", "encode", "decode"):
            (expected,) = session.predict(signature, some(values, session, signature)).values()
            assert np.isnan(expected[2]).all() and np.isfinite(expected[[0, 1, 3]]).all()
            atol = 1e-5 * np.nanmax(np.abs(expected))
            np.testing.assert_allclose(answers[signature], expected, rtol=0, atol=atol)
            assert np.nanmax(np.abs(answers[f"other {signature}"] - expected)) > 100 * atol


def test_jax_trains_as_keras(perturb):
    import jax

    keras.utils.set_random_seed(0)
    chain = Chain([SoftPermutation(0), GlowCoupling(MLP([8])), GlowCoupling(MLP([8]))])
    model = CINN(chain, (6,), OneHot(3), cond_shape=(), weight_prior=1e-2)
    perturb(model.bijector.layers)
    model.compile(FusedAdam(1e-2, epsilon=1e-8, global_clipnorm=0.5))
    rng = np.random.RandomState(0)
    x, cond = rng.randn(5, 6).astype("float32"), np.arange(5, dtype="int32") % 3
    state = gpu_artifacts.first_state(model)
    specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), state)
    batch = tf.TensorSpec(x.shape, x.dtype), tf.TensorSpec(cond.shape, cond.dtype)
    step = lower(gpu_artifacts.train_step(model, 1e-2, clip_norm=0.5), specs, *batch)
    step = jax.jit(jax.export.deserialize(bytearray(step)).call)
    state = tf.nest.map_structure(lambda t: t.numpy(), state)
    before = [w.numpy() for w in model.trainable_weights]
    for _ in range(3):
        state, loss = step(state, x, cond)
        expected = model.train_on_batch(x, cond, return_dict=True)
        np.testing.assert_allclose(loss, expected["loss"], rtol=1e-5)
        model.reset_metrics()
    after = [state["weights"][name] for name in sorted(state["weights"])]
    for weight, got in zip(model.weights, after, strict=True):
        np.testing.assert_allclose(got, weight.numpy(), rtol=0, atol=1e-4)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.abs(weight.numpy() - old).max() > 5e-3


def test_without_jax(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(UsageError, match=r'pip install "tfp-cinn\[jax\]"'):
        lower(lambda x: x, tf.TensorSpec([]))
