import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_cinn
from tfp_cinn import CINN, NonFiniteError, UsageError
from tfp_cinn.bijectors import (
    ActNorm,
    Chain,
    Flatten,
    GlowCoupling,
    RandomPermutation,
    SoftPermutation,
    Standardize,
)
from tfp_cinn.errors import NonFiniteStepError
from tfp_cinn.networks import MLP, LabelEmbedding, OneHot

SHAPE = (2, 3, 1)


def make_model(conditioner=None, **kwargs):
    chain = Chain(
        [
            Standardize(3.0, 2.0),
            Flatten(),
            ActNorm(),
            GlowCoupling(MLP([16])),
            SoftPermutation(0),
            GlowCoupling(MLP([16])),
            RandomPermutation(1),
            GlowCoupling(MLP([16])),
        ]
    )
    return CINN(chain, SHAPE, conditioner or OneHot(4), cond_shape=(), **kwargs)


@pytest.fixture
def data():
    rng = np.random.RandomState(0)
    labels = rng.randint(0, 4, 512).astype("int32")
    x = 3 + labels[:, None, None, None] + 0.3 * rng.randn(512, *SHAPE)
    return x.astype("float32"), labels


def widths(width):
    return keras.Sequential([keras.Input((width,)), keras.layers.Dense(2)])


def dataset(data, batch_size=64):
    return tf.data.Dataset.from_tensor_slices(data).batch(batch_size)


def test_fit_learns_and_evaluate_agrees_with_log_prob(data, perturb):
    model = make_model()
    model.compile(keras.optimizers.Adam(5e-3))
    history = model.fit(dataset(data), epochs=8, verbose=0, validation_data=dataset(data)).history
    assert history["nats_per_dim"][-1] < history["nats_per_dim"][0] - 0.5
    # batches of 100 leave a smaller last one: every example has to weigh the same
    result = model.evaluate(dataset(data, 100), verbose=0, return_dict=True)
    expected = -np.mean(model.distribution.log_prob(*data)) / 6
    np.testing.assert_allclose(result["nats_per_dim"], expected, rtol=1e-5)
    np.testing.assert_allclose(result["bits_per_dim"], expected / np.log(2), rtol=1e-5)
    np.testing.assert_allclose(result["loss"], expected, rtol=1e-5)


def test_scaling_is_part_of_the_likelihood():
    # The same density in other units: p(2 x) = p(x) / 2 in each dimension.
    x = tf.random.normal([5, 2])
    one = CINN(Chain([Standardize(0.0, 1.0)]), (2,))
    two = CINN(Chain([Standardize(0.0, 2.0)]), (2,))
    np.testing.assert_allclose(
        two.distribution.log_prob(2 * x), one.distribution.log_prob(x) - 2 * np.log(2), rtol=1e-5
    )


def test_weight_prior_is_a_gaussian_on_all_trainable_weights(data, perturb):
    model = make_model(LabelEmbedding(4, 3), weight_prior=0.02)
    perturb([model])
    model.compile()
    result = model.evaluate(dataset(data), verbose=0, return_dict=True)
    squares = sum(np.sum(w.numpy() ** 2) for w in model.trainable_weights)
    np.testing.assert_allclose(result["loss"] - result["nats_per_dim"], 0.01 * squares, rtol=1e-3)
    assert any("embedding" in w.path for w in model.trainable_weights)


def test_fit_does_what_a_loop_by_hand_does(data):
    models = [make_model(weight_prior=1e-3) for _ in range(2)]
    models[1].set_weights(models[0].get_weights())
    models[0].compile(keras.optimizers.Adam(1e-2, global_clipnorm=1.0))
    models[0].fit(dataset(data), epochs=2, verbose=0)
    optimizer = keras.optimizers.Adam(1e-2, global_clipnorm=1.0)
    weights = models[1].trainable_weights
    for _ in range(2):
        for x, label in dataset(data):
            with tf.GradientTape() as tape:
                loss = -tf.reduce_mean(models[1].distribution.log_prob(x, label)) / 6
                loss += 0.5e-3 * tf.add_n([tf.reduce_sum(w.value**2) for w in weights])
            gradients = tape.gradient(loss, [w.value for w in weights])
            optimizer.apply_gradients(zip(gradients, weights, strict=True))
    for a, b in zip(*(m.get_weights() for m in models), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)  # Adam amplifies rounding of small gradients


def test_saved_model_is_the_same_and_its_optimizer_goes_on(data, tmp_path):
    model = make_model(LabelEmbedding(4, 3), weight_prior=1e-3)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(dataset(data), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = tfp_cinn.load_model(tmp_path / "model.keras")
    x, cond = data[0][:9], data[1][:9]
    np.testing.assert_array_equal(
        loaded.distribution.log_prob(x, cond), model.distribution.log_prob(x, cond)
    )
    np.testing.assert_array_equal(
        loaded.distribution.sample(cond, seed=5), model.distribution.sample(cond, seed=5)
    )
    assert int(loaded.optimizer.iterations) == 8 and loaded.weight_prior == 1e-3


@pytest.mark.parametrize(("value", "run_eagerly"), [(np.nan, False), (np.inf, True)])
def test_non_finite_data_stops_training_and_changes_no_weight(data, value, run_eagerly):
    model = make_model()
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=run_eagerly)
    x, labels = data
    x[64 + 5, 0, 0, 0] = value
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(model.get_weights())
    )
    with pytest.raises(NonFiniteError) as caught:
        model.fit(dataset((x, labels)), verbose=0, callbacks=[callback])
    assert str(caught.value).startswith("epoch 1, batch 2: the data x hold NaN or infinite values")
    assert "row 5" in str(caught.value)
    assert "\n" not in str(caught.value)
    for now, then in zip(model.get_weights(), seen[-1], strict=True):
        np.testing.assert_array_equal(now, then)
    assert int(model.optimizer.iterations.numpy()) == 1
    # and the model can go on
    x[64 + 5] = 3.0
    model.fit(dataset((x, labels)), verbose=0)


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

    flow = [Flatten(), GlowCoupling(MLP([8])), GlowCoupling(subnet), GlowCoupling(MLP([8]))]
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


def test_non_finite_loss_names_the_first_bijector(data):
    model = make_model()
    model.compile(keras.optimizers.Adam(1e-2))
    # Finite weights whose outputs overflow, in the second Glow coupling: member 5 of the chain.
    for w in model.bijector.bijectors[5].layers[0].weights:
        w.assign(tf.ones_like(w) * 1e30)
    with pytest.raises(NonFiniteError, match=r"Chain\[5\]\.GlowCoupling is the first bijector"):
        model.fit(dataset(data), verbose=0)


def test_a_label_out_of_range_in_the_data_stops_training(data):
    model = make_model()
    model.compile()
    x, labels = data
    with pytest.raises(NonFiniteError, match="epoch 1, batch 1: label 4 is out of range"):
        model.fit(dataset((x, labels + 1)), verbose=0)


X, LABELS = np.zeros((4, *SHAPE), "float32"), np.zeros(4, "int32")


def test_wrong_training_data_are_answered_in_one_line():
    model = CINN(Chain([Flatten(), GlowCoupling(MLP([4]))]), SHAPE, OneHot(4), ())
    model.compile()
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
    for _ in range(2):  # a fresh model, and a trained one
        for message, data in wrong:
            for arguments in (data, [tf.data.Dataset.from_tensors(data)]):
                with pytest.raises(UsageError, match=re.escape(message)) as caught:
                    model.fit(*arguments, verbose=0)
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
        (lambda: CINN([GlowCoupling(MLP([4]))], (4,)), r"expected .*, such as Chain\(\[...\]\)"),
        (
            lambda: CINN(GlowCoupling(MLP([4])), (4,), widths(5), (3,)),
            r"can't take a condition of cond_shape=\(3,\) .*axis -1 of input shape",
        ),
        (lambda: CINN(GlowCoupling(MLP([4])), (4,), weight_prior=-1.0), "weight_prior"),
        (lambda: make_model().compile(loss="mse"), "loss can't be given"),
    ],
)
def test_wrong_arguments_are_answered_in_one_line(make, message):
    with pytest.raises(UsageError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_losses_of_the_conditioner_count(data):
    dense = keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.5))
    conditioner = keras.Sequential([keras.Input((), dtype="int32"), OneHot(4), dense])
    model = make_model(conditioner)
    model.compile()
    result = model.evaluate(dataset(data), verbose=0, return_dict=True)
    expected = 0.5 * np.sum(dense.kernel.numpy() ** 2)
    np.testing.assert_allclose(result["loss"] - result["nats_per_dim"], expected, rtol=1e-4)


def test_train_on_batch_and_positional_callbacks(data):
    model = make_model()
    model.compile()
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    model.fit(*data, 256, 2, 0, [callback])
    assert seen == [0, 1]
    assert np.isfinite(model.train_on_batch(*data)[0])


@pytest.mark.parametrize("kind", [UsageError, NonFiniteError])
def test_errors_keep_their_kind_in_traced_functions(kind):
    @tf.function
    def traced(x):
        if x > 0:  # for AutoGraph
            x += 1
        raise kind("expected something else")

    with pytest.raises(kind, match="expected something else"):
        traced(tf.constant(1))
