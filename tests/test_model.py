import functools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import CINN, NonFiniteError, UsageError
from tfp_cinn.bijectors import ActNorm, AffineCoupling, Chain, Flatten, GlowCoupling, Standardize
from tfp_cinn.errors import NonFiniteStepError
from tfp_cinn.networks import MLP, LabelEmbedding, OneHot

SHAPE = (2, 3, 1)


def make_model(conditioner=None, **kwargs):
    couplings = [AffineCoupling(MLP([16])), GlowCoupling(MLP([16]))]
    chain = Chain([Standardize(3.0, 2.0), Flatten(), ActNorm(), *couplings])
    return CINN(chain, SHAPE, conditioner or OneHot(4), cond_shape=(), **kwargs)


@functools.cache
def traced():
    """A model whose steps are traced once for all tests, and its variables' first values."""
    model = make_model()
    model.compile(keras.optimizers.Adam(1e-2))
    model.optimizer.build(model.trainable_variables)
    return model, [(v, v.numpy()) for v in model.variables + model.optimizer.variables]


@pytest.fixture
def model():
    model, start = traced()
    for v, value in start:
        v.assign(value)
    return model


@pytest.fixture
def data():
    rng = np.random.RandomState(0)
    labels = rng.randint(0, 4, 256).astype("int32")
    x = 3 + labels[:, None, None, None] + 0.3 * rng.randn(256, *SHAPE)
    return x.astype("float32"), labels


def dataset(data, batch_size=64):
    return tf.data.Dataset.from_tensor_slices(data).batch(batch_size)


def test_fit_learns_and_evaluate_agrees_with_log_prob(model, data):
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    history = model.fit(*data, 64, 6, 0, [callback]).history["nats_per_dim"]
    assert seen == list(range(6))
    assert history[-1] < history[0] - 0.5
    # batches of 100 leave a smaller last one: every example has to weigh the same
    result = model.evaluate(dataset(data, 100), verbose=0, return_dict=True)
    expected = -np.mean(model.distribution.log_prob(*data)) / 6
    np.testing.assert_allclose(result["nats_per_dim"], expected, rtol=1e-5)
    np.testing.assert_allclose(result["bits_per_dim"], expected / np.log(2), rtol=1e-5)
    np.testing.assert_allclose(result["loss"], expected, rtol=1e-5)


def test_weight_prior_and_losses_of_the_conditioner_are_part_of_the_loss(data, perturb):
    embedding = LabelEmbedding(4, 3)
    dense = keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.5))
    conditioner = keras.Sequential([keras.Input((), dtype="int32"), embedding, dense])
    model = make_model(conditioner, weight_prior=0.02)
    perturb([model])
    model.compile()
    result = model.evaluate(dataset(data), verbose=0, return_dict=True)
    assert any("embedding" in w.path for w in model.trainable_weights)
    squares = sum(np.sum(w.numpy() ** 2) for w in model.trainable_weights)
    expected = 0.01 * squares + 0.5 * np.sum(dense.kernel.numpy() ** 2)
    np.testing.assert_allclose(result["loss"] - result["nats_per_dim"], expected, rtol=1e-3)


def test_fit_does_what_a_loop_by_hand_does(data):
    models = [make_model(weight_prior=1e-3) for _ in range(2)]
    models[1].set_weights(models[0].get_weights())
    models[0].compile(keras.optimizers.Adam(1e-2, global_clipnorm=1.0))
    models[0].fit(dataset(data), verbose=0)
    optimizer = keras.optimizers.Adam(1e-2, global_clipnorm=1.0)
    weights = models[1].trainable_weights
    for x, label in dataset(data):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(models[1].distribution.log_prob(x, label)) / 6
            loss += 0.5e-3 * tf.add_n([tf.reduce_sum(w.value**2) for w in weights])
        gradients = tape.gradient(loss, [w.value for w in weights])
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
    for a, b in zip(*(m.get_weights() for m in models), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)  # Adam amplifies rounding of small gradients


@pytest.mark.parametrize(("value", "run_eagerly"), [(np.nan, False), (np.inf, True)])
def test_non_finite_data_stops_training_and_changes_no_weight(model, data, value, run_eagerly):
    x, labels = (d[:128].copy() for d in data)
    x[64 + 5, 0, 0, 0] = value
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(model.get_weights())
    )
    tf.config.run_functions_eagerly(run_eagerly)
    try:
        with pytest.raises(NonFiniteError) as caught:
            model.fit(dataset((x, labels)), verbose=0, callbacks=[callback])
    finally:
        tf.config.run_functions_eagerly(False)
    assert str(caught.value).startswith("epoch 1, batch 2: the data x hold NaN or infinite values")
    assert "row 5" in str(caught.value)
    assert "\n" not in str(caught.value)
    for now, then in zip(model.get_weights(), seen[-1], strict=True):
        np.testing.assert_array_equal(now, then)
    assert int(model.optimizer.iterations.numpy()) == 1
    # and the model can go on
    model.fit(dataset((x[:64], labels[:64])), verbose=0)


@keras.saving.register_keras_serializable("test")
class BadGradient(keras.layers.Layer):
    """The identity, whose gradient is NaN where the first input exceeds a bound."""

    def call(self, inputs):
        @tf.custom_gradient
        def identity(x):
            bad = tf.where(tf.reduce_any(x > 1e3), np.nan, 0.0)
            return tf.identity(x), lambda dy: dy + bad

        return identity(inputs)


def test_non_finite_gradient_stops_training_and_names_the_bijector(data):
    def subnet(channels_out):
        layers = [
            BadGradient(),
            keras.layers.Dropout(0.5, seed=1),
            keras.layers.Dense(channels_out),
        ]
        return keras.Sequential(layers)

    flow = [Flatten(), AffineCoupling(MLP([8])), GlowCoupling(subnet), AffineCoupling(MLP([8]))]
    model = CINN(Chain(flow), SHAPE, OneHot(4), cond_shape=())
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(dataset(data), verbose=0)
    noise = [v for v in model.variables if v.name == "seed_generator_state"]
    state = [v.numpy() for v in model.weights + model.optimizer.variables]
    sums = [v.numpy() for m in model.metrics for v in m.variables]
    drawn = [v.numpy()[1] for v in noise]
    x, labels = data
    x[3, 0, 0, 0] = 1e5
    with pytest.raises(NonFiniteStepError) as caught:
        model.fit(dataset((x, labels)), verbose=0)
    message = str(caught.value)
    assert message.startswith("epoch 1, batch 1: the gradient of ") and "\n" not in message
    assert "on the way back first in Chain[2].GlowCoupling" in message
    # Neither weights, nor the optimizer, nor the figures of the epoch know of the step.
    for now, then in zip(model.weights + model.optimizer.variables, state, strict=True):
        np.testing.assert_array_equal(now.numpy(), then)
    assert all(v.numpy() == 0 for m in model.metrics for v in m.variables) and any(sums)
    # The noise goes on from what it drew, so that it is the same each time.
    assert noise and [v.numpy()[1] for v in noise] == [count + 1 for count in drawn]


def test_non_finite_loss_names_the_first_bijector(model, data):
    # Finite weights whose outputs overflow, in member 4 of the chain.
    for w in model.bijector.bijectors[4].layers[0].weights:
        w.assign(tf.ones_like(w) * 1e30)
    with pytest.raises(NonFiniteError, match=r"Chain\[4\]\.GlowCoupling is the first bijector"):
        model.fit(dataset(data), verbose=0)


def test_a_label_out_of_range_in_the_data_stops_training(model, data):
    x, labels = data
    with pytest.raises(NonFiniteError, match="epoch 1, batch 1: label 4 is out of range"):
        model.fit(dataset((x, labels + 1)), verbose=0)


X, LABELS = np.zeros((4, *SHAPE), "float32"), np.zeros(4, "int32")


def test_wrong_training_data_are_answered_in_one_line(model):
    shape = "expected x of shape (None, 2, 3, 1), the batch first, got "
    wrong = [
        (shape, (X[:, :, :2], LABELS)),
        (shape, (LABELS, X)),
        (shape, (X[:, 0, 0, 0], LABELS)),
        ("expected x of a float dtype, got int32", (X.astype("int32"), LABELS)),
        ("expected integer labels, got dtype float32", (X, X[:, 0, 0, 0])),
        ("expected cond with one batch dimension", (X, LABELS[:, None])),
        ("got strings; number classes from 0 first", (X, np.array(list("abab")))),
        ("expected pairs (x, cond), got 1 part; to draw x use distribution.sample", (X,)),
    ]
    fresh = make_model()
    fresh.compile()
    for message, data in wrong:
        for which, arguments in ((fresh, data), (model, [tf.data.Dataset.from_tensors(data)])):
            with pytest.raises(UsageError, match=re.escape(message)) as caught:
                which.fit(*arguments, verbose=0)
            assert "\n" not in str(caught.value)
    model.fit(X, LABELS, verbose=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CINN(GlowCoupling(MLP([4])), (4,), OneHot(4)), "cond_shape: expected the shape"),
        (
            lambda: CINN(GlowCoupling(MLP([4])), (4,), cond_shape=(None, 2)),
            r"without batch dimension, such as \(\), \(3,\) or a dict of shapes, got \(None, 2\)",
        ),
        (lambda: CINN(GlowCoupling(MLP([4])), (4,), weight_prior=-1.0), "weight_prior"),
        (lambda: make_model().compile(loss="mse"), "loss can't be given"),
    ],
)
def test_wrong_arguments_are_answered_in_one_line(make, message):
    with pytest.raises(UsageError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [UsageError, NonFiniteError])
def test_errors_keep_their_kind_in_traced_functions(kind):
    @tf.function
    def traced(x):
        if x > 0:  # for AutoGraph
            x += 1
        raise kind("expected something else")

    with pytest.raises(kind, match="expected something else"):
        traced(tf.constant(1))
