"""Training with memory="recompute", and with subnets in bfloat16."""

import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_cinn
from tfp_cinn import CINN, UsageError
from tfp_cinn.bijectors import (
    ActNorm,
    AffineCoupling,
    Chain,
    Embed,
    FactorOut,
    GlowCoupling,
    SoftPermutation,
)
from tfp_cinn.networks import MLP

RNG = np.random.RandomState(0)
X, COND = RNG.randn(48, 6).astype("float32"), RNG.randn(48, 4).astype("float32")


def moody(n):
    """A subnet that draws random numbers and keeps running averages in training."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Dense(8, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(n),
        ]
    )


def moody_model(perturb):
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((6,)), moody(8)])
    chain = [ActNorm(), AffineCoupling(moody), SoftPermutation(0)]
    chain.append(FactorOut(4, Chain([Embed(network, AffineCoupling(moody))])))
    conditioner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6)])
    model = CINN(Chain(chain), (6,), conditioner, (4,), weight_prior=1e-3)
    perturb([model], std=0.05)
    return model


def batches(x=X, size=16):
    return tf.data.Dataset.from_tensor_slices((x, COND)).batch(size)


def test_fit_does_the_same_with_dropout_and_batch_normalization_in_every_network(perturb):
    values, histories = [], []
    for memory in ("store", "recompute"):
        model = moody_model(perturb)
        before = [np.asarray(v) for v in model.variables]
        model.compile(keras.optimizers.SGD(1e-3), memory=memory)
        histories.append(model.fit(batches(), verbose=0).history)
        values.append([np.asarray(v) for v in model.variables])
    for v, start, expected, got in zip(model.variables, before, *values, strict=True):
        # All but the rotation have moved. Seeds of dropout and running averages are among them,
        # which a step moves once. Weights differ by three steps of 1e-3 times gradients that differ
        # in their last digits.
        assert np.any(expected != start) or v.path.endswith("/q"), v.path
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5, err_msg=v.path)
    errors = histories[1].pop("reconstruction_error")
    assert all(0 < e < 1e-4 for e in errors)
    assert sorted(histories[0]) == sorted(histories[1])


def test_training_stops_before_a_step_whose_activations_could_not_be_rebuilt(perturb):
    # One that may multiply by e^40, which leaves nothing of the rest in float32.
    chain = Chain([AffineCoupling(MLP([4], "tanh"), clamp=40.0) for _ in range(4)])
    model = CINN(chain, (6,), cond_shape=(4,))
    model.compile(keras.optimizers.SGD(0.0), memory="recompute")
    model.fit(batches(), verbose=0)  # the identity
    perturb(chain.layers, std=8.0)
    before = model.get_weights()
    with pytest.raises(UsageError) as caught:
        model.fit(batches(), verbose=0)
    message = str(caught.value)
    assert message.startswith("epoch 1, batch 1: the backward pass rebuilt x from z with an error")
    assert 'use memory="store"' in message and "\n" not in message
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_memory_belongs_to_compiling_and_is_saved_with_it(tmp_path):
    model = CINN(Chain([AffineCoupling(MLP([4]))]), (6,), cond_shape=(4,))
    assert "reconstruction_error" not in [m.name for m in model.metrics]
    with pytest.raises(UsageError, match='memory: expected "store" or "recompute", got .disk'):
        model.compile("sgd", memory="disk")
    model.compile("sgd", memory="recompute")
    path = tmp_path / "model.keras"
    model.save(path)
    config = json.loads(zipfile.ZipFile(path).read("config.json"))
    assert config["compile_config"]["memory"] == "recompute"
    loaded = tfp_cinn.load_model(path)
    history = loaded.fit(batches(), verbose=0, validation_data=batches()).history
    assert "reconstruction_error" in history and "val_reconstruction_error" not in history
    loaded.compile("sgd")
    assert "reconstruction_error" not in [m.name for m in loaded.metrics]


def flow(dtype):
    members = [ActNorm()]
    for k in range(3):
        subnet = MLP([16], "tanh", dtype=dtype)
        members += [SoftPermutation(k), GlowCoupling(subnet, clamp=1.0)]
    return Chain(members)


def test_with_subnets_in_bfloat16_the_rest_of_the_flow_stays_exact(perturb, tmp_path):
    models = {
        dtype: CINN(flow(dtype), (6,), cond_shape=(4,))
        for dtype in ("mixed_bfloat16", "float32", "float64")
    }
    mixed = models["mixed_bfloat16"]
    perturb([mixed], std=0.1)
    weights = mixed.get_weights()
    assert {w.dtype for w in weights} == {np.dtype("float32")}
    results = {}
    for dtype, model in models.items():
        model.set_weights(weights)
        exact = dtype == "float64"
        x, cond = (tf.constant(t, dtype if exact else "float32") for t in (X, COND))
        results[dtype] = model.bijector.inverse_and_log_det(x, cond)
        assert results[dtype][0].dtype == results[dtype][1].dtype == x.dtype
    for part, scale in ((0, 1.0), (1, 6.0)):  # z, of order 1, and the log-det, of six dimensions
        error = {
            dtype: np.abs(np.asarray(results[dtype][part]) - results["float64"][part]).max() / scale
            for dtype in ("float32", "mixed_bfloat16")
        }
        assert error["float32"] < 1e-5
        # Eight bits of mantissa in two products of each of six subnets.
        assert 1e-4 < error["mixed_bfloat16"] < 0.1
    # An affine part in bfloat16 would decode to eight bits.
    z, _ = results["mixed_bfloat16"]
    x_again, _ = mixed.bijector.forward_and_log_det(z, COND)
    assert np.abs(x_again - X).mean() < 2e-3
    # In training as well: what Keras calls is what the distribution computes.
    np.testing.assert_array_equal(mixed((X, COND)), mixed.distribution.log_prob(X, COND))
    mixed.save(tmp_path / "model.keras")
    loaded = tfp_cinn.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded((X, COND)), mixed((X, COND)))


def test_a_global_mixed_policy_leaves_the_flow_its_own_weights(perturb):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = CINN(flow(None), (6,), cond_shape=(4,))
    finally:
        keras.config.set_dtype_policy("float32")
    perturb([model], std=0.1)
    assert model.bijector.layers[2].compute_dtype == "bfloat16"
    np.testing.assert_array_equal(model((X, COND)), model.distribution.log_prob(X, COND))


def test_shards_rebuild_each_part_of_a_batch(perturb, shards=3):  # of a batch of 2: one is empty
    def train(**options):
        keras.utils.set_random_seed(0)
        chain = [AffineCoupling(MLP([8])), SoftPermutation(0), AffineCoupling(MLP([8]))]
        model = CINN(Chain(chain), (6,), cond_shape=(4,))
        perturb([model], std=0.1)
        model.compile(keras.optimizers.SGD(0.1), **options)
        start = model.get_weights()
        return start, model.fit(batches(size=2).take(4), verbose=0).history, model.get_weights()

    start, _, expected = train()
    _, history, got = train(shards=shards, memory="recompute")
    assert 0 < history["reconstruction_error"][0] < 1e-5
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(expected, start, strict=True))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # sums in another order
