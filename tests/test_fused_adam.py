import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import FusedAdam


def weights():
    rng = np.random.RandomState(0)
    return [keras.Variable(rng.randn(*shape).astype("float32")) for shape in ((7, 5), (5,))]


def run(make, steps=5, scale=1.0):
    """Weights and the optimizer's own after some steps of gradients of growing length."""
    optimizer, variables = make(), weights()
    optimizer.build(variables)
    rng = np.random.RandomState(1)
    apply = tf.function(lambda gradients: optimizer.apply(gradients, variables))
    for step in range(steps):
        gradients = [scale * (step + 1) * rng.randn(*v.shape).astype("float32") for v in variables]
        apply([tf.constant(g) for g in gradients])
    return [v.numpy() for v in (*variables, *optimizer.variables)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"epsilon": 1e-3, "beta_1": 0.5, "beta_2": 0.9},
        {"amsgrad": True},
        {"clipnorm": 0.1},
        {"global_clipnorm": 10.0},  # reached on the way
        {"weight_decay": 0.1},
    ],
    ids=str,
)
def test_is_keras_adam(options):
    ours = run(lambda: FusedAdam(0.01, **options))
    theirs = run(lambda: keras.optimizers.Adam(0.01, **options))
    start = [v.numpy() for v in weights()]
    assert any(np.abs(a - b).max() > 0.01 for a, b in zip(theirs, start, strict=False))
    for a, b in zip(ours, theirs, strict=True):
        # 1 - beta_2 is taken in float32, in which it is 1.3e-5 off for 0.999.
        np.testing.assert_allclose(a, b, rtol=3e-5, atol=1e-7)


def test_gradients_that_are_not_finite_show_in_the_weights():
    optimizer, variables = FusedAdam(0.01, global_clipnorm=1.0), weights()
    optimizer.build(variables)
    optimizer.apply([tf.constant(np.inf, shape=v.shape) for v in variables], variables)
    assert all(np.isnan(v.numpy()).any() for v in variables)


def test_sparse_gradients():
    optimizer, (table, _) = FusedAdam(0.5, global_clipnorm=1.0), weights()
    before = table.numpy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.gather(table.value, [2, 2]))
    optimizer.build([table])
    optimizer.apply([tape.gradient(loss, table.value)], [table])
    moved = np.abs(table.numpy() - before).max(axis=1) > 0
    np.testing.assert_array_equal(moved, np.arange(7) == 2)
