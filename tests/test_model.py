import copy
import io
import pickle
import re
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_cinn
from tfp_cinn import CINN, NonFiniteError, UsageError
from tfp_cinn.bijectors import (
    ActNorm,
    AdditiveCoupling,
    Chain,
    Embed,
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
    ("method", "name"), [("save", "m.keras"), ("save_weights", "m.weights.h5")]
)
def test_a_save_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch, method, name):
    model = make_model()
    save = getattr(model, method)
    save(tmp_path / name)
    good = (tmp_path / name).read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        save(tmp_path / name, overwrite=False)
    with pytest.raises(UsageError, match=f"expected a file name that ends in {name[1:]}"):
        save(tmp_path / "m.h5")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("h5py.Group.create_dataset", full)
    with pytest.raises(UsageError, match="No space left on device"):
        save(str(tmp_path / name))
    assert (tmp_path / name).read_bytes() == good
    assert [p.name for p in tmp_path.iterdir()] == [name]


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


class Unregistered(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


def unregistered(x):
    return 2 * x


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 1e-3

    def get_config(self):
        return {}


class Optimizer(keras.optimizers.Adam):
    pass


def flow(*members):
    return Chain([*members, GlowCoupling(MLP([4]))])


def dense(*layers):
    return keras.Sequential([*layers, keras.layers.Dense(2)])


def same_subnet():
    subnet = dense()

    @keras.saving.register_keras_serializable("test_model")
    def maker(channels_out):
        return subnet

    return CINN(Chain([AdditiveCoupling(maker), AdditiveCoupling(maker)]), (4,))


UNSAVABLE = {
    "Lambda can run code": lambda: CINN(
        flow(), (4,), dense(keras.layers.Lambda(lambda x: x)), (2,)
    ),
    "Unregistered isn't registered": lambda: CINN(flow(), (4,), dense(Unregistered()), (2,)),
    "can't save the network": lambda: CINN(flow(Embed(Unregistered(), flow())), (4,), None, (2,)),
    "unregistered isn't registered": lambda: CINN(
        flow(), (4,), keras.layers.Dense(2, activation=unregistered), (2,)
    ),
    "can't save the subnet": lambda: CINN(GlowCoupling(lambda n: keras.layers.Dense(n)), (4,)),
    "share the layer sequential": same_subnet,
    "Schedule isn't registered": keras.optimizers.Adam(Schedule()),
    "Optimizer isn't registered": Optimizer(),
}


@pytest.mark.parametrize("message", UNSAVABLE)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, message):
    case = UNSAVABLE[message]
    model = case() if callable(case) else CINN(flow(), (4,), None, (2,))
    model.compile("adam" if callable(case) else case)
    data = [np.zeros((4, 4), "float32")] + [np.zeros((4, 2), "float32")] * bool(model.cond_shape)
    with pytest.warns(UserWarning, match=message):
        model.fit(*data, verbose=0, epochs=0)
    with pytest.raises(UsageError, match=message) as caught:
        model.save(tmp_path / "m.keras")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_custom_objects_reach_the_loader(tmp_path):
    model = CINN(flow(), (4,), dense(Unregistered()), (2,))
    custom_objects = {"Unregistered": Unregistered}
    with keras.saving.custom_object_scope(custom_objects):
        model.save(tmp_path / "m.keras")
    copy = tfp_cinn.load_model(tmp_path / "m.keras", custom_objects)
    x, cond = np.ones((2, 4), "float32"), np.ones((2, 2), "float32")
    np.testing.assert_array_equal(copy((x, cond)), model((x, cond)))
    with pytest.raises(UsageError, match="Could not locate class 'Unregistered'"):
        tfp_cinn.load_model(tmp_path / "m.keras")


def two_embeds(inner=None):
    inner = inner or keras.layers.Dense(2)
    return flow(Embed(inner, flow()), RandomPermutation(0), Embed(inner, flow()))


def one_coupling_twice():
    coupling = GlowCoupling(MLP([4]))
    return Chain([Embed(keras.layers.Dense(2), coupling), Chain([RandomPermutation(0), coupling])])


SHARED = {
    "two embeds": lambda: (two_embeds(), None),
    "embed and conditioner": lambda: (two_embeds(d := keras.layers.Dense(2)), d),
    "one coupling twice": lambda: (one_coupling_twice(), None),
}


@pytest.mark.parametrize("name", SHARED)
def test_what_is_shared_stays_shared(name, tmp_path, perturb):
    bijector, conditioner = SHARED[name]()
    model = CINN(bijector, (4,), conditioner, (2,))
    perturb([model])
    model.save(tmp_path / "m.keras")
    x, cond = (np.random.RandomState(0).randn(5, n).astype("float32") for n in (4, 2))
    expected = model((x, cond)).numpy()
    copies = [tfp_cinn.load_model(tmp_path / "m.keras"), keras.models.clone_model(model)]
    copies[1].set_weights(model.get_weights())
    for other in [*copies, pickle.loads(pickle.dumps(model))]:
        assert len(other.weights) == len(model.weights)
        np.testing.assert_allclose(other((x, cond)), expected, rtol=1e-5)
        perturb([other], seed=2)
        np.testing.assert_array_equal(model((x, cond)), expected)


FROZEN = {
    "network": lambda model: model.bijector.bijectors[0].network,
    "subnet": lambda model: model.bijector.layers[-1],
}


@pytest.mark.parametrize("name", FROZEN)
def test_what_is_frozen_stays_frozen_and_the_optimizer_goes_on(name, tmp_path):
    conditioner = dense(keras.layers.Dense(3))
    model = CINN(flow(Embed(keras.layers.Dense(2), flow())), (4,), conditioner, (2,))
    FROZEN[name](model).trainable = False
    count = len(model.trainable_weights)
    assert count < len(model.weights)
    model.compile(keras.optimizers.Adam(1e-2))
    x, cond = np.ones((16, 4), "float32"), np.ones((16, 2), "float32")
    model.fit(x, cond, batch_size=4, verbose=0)
    model.save(tmp_path / "m.keras")
    copies = [tfp_cinn.load_model(tmp_path / "m.keras"), copy.deepcopy(model)]
    for other in copies:
        assert int(other.optimizer.iterations) == 4
        for a, b in zip(other.optimizer.variables, model.optimizer.variables, strict=True):
            np.testing.assert_array_equal(a, b)
    for other in [*copies, keras.models.clone_model(model)]:
        assert len(other.trainable_weights) == count
        assert not FROZEN[name](other).trainable_weights


def test_a_wholly_frozen_model_is_loaded_as_one(tmp_path):
    model = CINN(flow(), (4,))
    model.compile()
    model.trainable = False
    model.save(tmp_path / "m.keras")
    copy = tfp_cinn.load_model(tmp_path / "m.keras")
    assert not copy.trainable_weights and len(copy.weights) == len(model.weights)


def test_a_model_of_another_precision_is_refused_or_the_same(tmp_path):
    x = np.random.RandomState(0).randn(3, 4)
    try:
        keras.config.set_floatx("float64")
        model = CINN(flow(), (4,), name="double")
        model.save(tmp_path / "m.keras")
        copy = tfp_cinn.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(copy.distribution.log_prob(x), model.distribution.log_prob(x))
        assert copy.distribution.dtype == "float64"
    finally:
        keras.config.set_floatx("float32")
    with pytest.raises(UsageError, match=r"made with keras.config.set_floatx\('float64'\)"):
        tfp_cinn.load_model(tmp_path / "m.keras")


def test_damaged_and_foreign_files_are_refused(data, tmp_path):
    path = tmp_path / "m.keras"
    make_model().save(path)
    whole = path.read_bytes()

    def refuse(content, message):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=message) as caught:
            tfp_cinn.load_model(path)
        assert "\n" not in str(caught.value)

    refuse(b"", "no .keras file")
    refuse(whole[: len(whole) // 2], "damaged, cut short, or no .keras file")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    refuse(bytes(flipped), "damaged")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello", "world")
    refuse(path.read_bytes(), "can't be loaded as a model")
    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Dense(1)(inputs)).save(path)
    refuse(path.read_bytes(), "expected a tfp_cinn.CINN, got a Functional")
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(path, "w") as archive:
        parts = {name: old.read(name) for name in old.namelist()}
        weights = io.BytesIO(parts["model.weights.h5"])
        with h5py.File(weights, "r+") as file:
            file.move("flow_layers", "layers_of_the_flow")
        for name, content in (parts | {"model.weights.h5": weights.getvalue()}).items():
            archive.writestr(name, content)
    refuse(path.read_bytes(), "its weights aren't those of this version's layers; train it again")
    with pytest.raises(UsageError, match="no such model file"):
        tfp_cinn.load_model(tmp_path / "absent.keras")
