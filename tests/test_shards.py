import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import CINN, UsageError
from tfp_cinn.bijectors import AffineCoupling, Chain, Embed, RandomPermutation, computing
from tfp_cinn.networks import MLP, OneHot


@pytest.fixture
def model(perturb):
    chain = Chain([RandomPermutation(0), AffineCoupling(MLP([8]))])
    model = CINN(chain, (6,), OneHot(3), cond_shape=(), weight_prior=0.1)
    perturb(model.bijector.layers)
    return model


def batch(rows):
    rng = np.random.RandomState(2)
    return tf.constant(rng.randn(rows, 6).astype("float32")), tf.constant(rng.randint(0, 3, rows))


def values(model, x, cond, unknown):
    """Everything that a flow computes of a batch, gradients included."""
    rows = None if unknown else x.shape[0]
    dist = model.distribution
    signature = [tf.TensorSpec([rows, 6]), tf.TensorSpec([rows], tf.int64)]

    @tf.function(input_signature=signature)
    def run(x, cond):
        with tf.GradientTape() as tape:
            log_prob = dist.log_prob(x, cond)
        gradients = tape.gradient(log_prob, dist.trainable_variables)
        return [log_prob, dist.encode(x, cond), dist.decode(x, cond), *gradients]

    return [t.numpy() for t in run(x, cond)]


@pytest.mark.parametrize(("shards", "rows", "unknown"), [(2, 1, True), (3, 7, False)])
def test_change_no_value(model, rows, shards, unknown):
    x, cond = batch(rows)
    whole = values(model, x, cond, unknown)
    with computing(shards=shards):
        parts = values(model, x, cond, unknown)
    assert max(np.abs(t).max() for t in whole) > 1
    for a, b in zip(parts, whole, strict=True):
        assert a.shape == b.shape
        # Sums over rows are taken in another order.
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_are_refused():
    network = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()])
    flow = CINN(Embed(network, AffineCoupling(MLP([4]))), (4,), cond_shape=(3,))
    flow.compile(shards=1)
    with pytest.raises(UsageError, match=r"shards: expected 1, got 2.*batch normalization"):
        flow.compile(shards=2)
    with pytest.raises(UsageError, match="shards: expected a whole number of at least 1, got 2.5"):
        flow.compile(shards=2.5)
