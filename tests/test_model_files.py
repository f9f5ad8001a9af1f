"""Model files: what is saved can be loaded, and what can't be loaded is refused in one line."""

import copy
import io
import json
import pathlib
import zipfile

import h5py
import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tests.helpers.hostile import archive_of, mutated, parts, works_or_is_refused
from tfp_cinn import CINN, UsageError, load_model
from tfp_cinn.bijectors import AdditiveCoupling, AffineCoupling, Chain, Embed, RandomPermutation
from tfp_cinn.networks import MLP


@pytest.mark.parametrize(
    ("method", "name"), [("save", "m.keras"), ("save_weights", "m.weights.h5")]
)
def test_a_save_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch, method, name):
    model = CINN(flow(), (4,))
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
    return Chain([*members, AffineCoupling(MLP([4]))])


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
    "can't save the subnet": lambda: CINN(AffineCoupling(lambda n: keras.layers.Dense(n)), (4,)),
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


def two_embeds(inner):
    return flow(Embed(inner, flow()), RandomPermutation(0), Embed(inner, flow()))


def one_coupling_twice():
    coupling = AffineCoupling(MLP([4]))
    return Chain([Embed(keras.layers.Dense(2), coupling), Chain([RandomPermutation(0), coupling])])


SHARED = {
    "embed and conditioner": lambda: (two_embeds(d := keras.layers.Dense(2)), d),
    "one coupling twice": lambda: (one_coupling_twice(), None),
}


@pytest.mark.parametrize("name", SHARED)
def test_what_is_shared_stays_shared(name, tmp_path, perturb):
    bijector, conditioner = SHARED[name]()
    model = CINN(bijector, (4,), conditioner, (2,), weight_prior=0.5)
    perturb([model])
    model.save(tmp_path / "m.keras")
    x, cond = (np.random.RandomState(0).randn(5, n).astype("float32") for n in (4, 2))
    expected = model((x, cond)).numpy()
    copies = [load_model(tmp_path / "m.keras"), keras.models.clone_model(model)]
    copies[1].set_weights(model.get_weights())
    for other in copies:
        assert len(other.weights) == len(model.weights) and other.weight_prior == 0.5
        np.testing.assert_allclose(other((x, cond)), expected, rtol=1e-5)
        perturb([other], seed=2)
        np.testing.assert_array_equal(model((x, cond)), expected)


def test_what_is_frozen_stays_frozen_and_the_optimizer_goes_on(tmp_path):
    model = CINN(flow(Embed(dense(keras.layers.Dense(2)), flow())), (4,), None, (2,))

    def frozen(model):
        return model.bijector.bijectors[0].network.layers[0], model.bijector.layers[-1]

    for layer in frozen(model):
        layer.trainable = False
    count = len(model.trainable_weights)
    model.compile(keras.optimizers.Adam(1e-2))
    weights = model.trainable_weights
    model.optimizer.apply([tf.ones(w.shape) for w in weights], weights)
    model.save(tmp_path / "m.keras")
    copies = [load_model(tmp_path / "m.keras"), copy.deepcopy(model)]
    for other in copies:
        assert int(other.optimizer.iterations) == 1
        for a, b in zip(other.optimizer.variables, model.optimizer.variables, strict=True):
            np.testing.assert_array_equal(a, b)
    for other in [*copies, keras.models.clone_model(model)]:
        assert len(other.trainable_weights) == count
        assert not any(layer.trainable_weights for layer in frozen(other))


def test_a_wholly_frozen_model_is_loaded_as_one(tmp_path):
    model = CINN(flow(), (4,))
    model.compile()
    model.trainable = False
    model.save(tmp_path / "m.keras")
    copy = load_model(tmp_path / "m.keras")
    assert not copy.trainable_weights and len(copy.weights) == len(model.weights)


def test_a_model_of_another_precision_is_refused_or_the_same(tmp_path):
    x = np.random.RandomState(0).randn(3, 4)
    try:
        keras.config.set_floatx("float64")
        model = CINN(flow(), (4,), name="double")
        model.save(tmp_path / "m.keras")
        copy = load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(copy.distribution.log_prob(x), model.distribution.log_prob(x))
        assert copy.distribution.dtype == "float64"
    finally:
        keras.config.set_floatx("float32")
    with pytest.raises(UsageError, match=r"made with keras.config.set_floatx\('float64'\)"):
        load_model(tmp_path / "m.keras")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a model file."""
    keras.utils.set_random_seed(0)
    conditioner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "relu")])
    model = CINN(Chain([AffineCoupling(MLP([4], dropout=0.1))]), (4,), conditioner, (3,))
    model.compile(keras.optimizers.Adam(1e-3))
    model.optimizer.build(model.trainable_variables)
    path = tmp_path_factory.mktemp("models") / "good.keras"
    model.save(path)
    return path.read_bytes()


def refused(tmp_path, content, message):
    path = tmp_path / "bad.keras"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def with_conditioner(good, described):
    members = parts(good)
    config = json.loads(members["config.json"])
    config["config"]["conditioner"] = described
    return archive_of(members | {"config.json": json.dumps(config)})


def layer(module, name, registered=None, **config):
    return {
        "module": module, "class_name": name, "config": config, "registered_name": registered,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (layer("os", "system", command="touch owned"), "Could not locate class 'system'"),
        (layer("keras.utils", "get_file", origin="http://localhost/"), "not a modeling function"),
        (layer("keras.layers", "Lambda", function="x"), "unsupported callable"),
        ({"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}, "arbitrary code"),
    ],
)
def test_a_config_that_names_what_is_no_part_of_a_model_is_refused(
    good, tmp_path, monkeypatch, described, message
):
    monkeypatch.chdir(tmp_path)
    refused(tmp_path, with_conditioner(good, described), message)
    # Wherever it stands, also where only compiling would reach it.
    members = parts(good)
    config = json.loads(members["config.json"])
    config["compile_config"] = {"optimizer": {"a": [1, described]}}
    refused(tmp_path, archive_of(members | {"config.json": json.dumps(config)}), message)
    assert not pathlib.Path("owned").exists()


def test_archives_that_are_no_model_are_refused(good, tmp_path):
    members = parts(good)
    bomb = members | {"model.weights.h5": bytes(1 << 24)}
    refused(tmp_path, archive_of(bomb, zipfile.ZIP_DEFLATED), "is compressed")
    for config in (b"[" * 100_000, b"{}", b"{"):
        refused(tmp_path, archive_of(members | {"config.json": config}), "can't be loaded")
    refused(tmp_path, archive_of({"config.json": members["config.json"]}), "can't be loaded")


@pytest.mark.parametrize("trick", ["external link", "shape"])
def test_weights_that_are_not_in_the_file_are_refused(good, tmp_path, trick):
    stream = io.BytesIO(parts(good)["model.weights.h5"])
    with h5py.File(stream, "r+") as weights:
        group = weights["conditioner/layers/dense/vars"]
        del group["0"]
        if trick == "external link":
            group["0"] = h5py.ExternalLink("/etc/passwd", "/")
        else:
            group.create_dataset("0", (1 << 20, 1 << 12), "f4", chunks=(1024, 1024), fillvalue=1.0)
    content = archive_of(parts(good) | {"model.weights.h5": stream.getvalue()})
    refused(tmp_path, content, "can't be loaded as a model: ")


@pytest.mark.long
@hypothesis.given(draw=st.data())
def test_mutated_model_files_work_or_are_refused(good, tmp_path_factory, draw):
    path = tmp_path_factory.getbasetemp() / "mutated.keras"
    path.write_bytes(mutated(good, draw.draw))
    works_or_is_refused(lambda: load_model(path), CINN)


def test_damaged_and_foreign_files_are_refused(good, tmp_path):
    refused(tmp_path, b"", "no .keras file")
    refused(tmp_path, good[: len(good) // 2], "damaged, cut short, or no .keras file")
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 0xFF
    refused(tmp_path, bytes(flipped), "damaged")
    refused(tmp_path, archive_of({"hello": "world"}), "can't be loaded as a model")
    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Dense(1)(inputs)).save(tmp_path / "other.keras")
    other = (tmp_path / "other.keras").read_bytes()
    refused(tmp_path, other, "expected a tfp_cinn.CINN, got a Functional")
    weights = io.BytesIO(parts(good)["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        file.move("flow_layers", "layers_of_the_flow")
    content = archive_of(parts(good) | {"model.weights.h5": weights.getvalue()})
    refused(tmp_path, content, "its weights aren't those of this version's layers; train it again")
    with pytest.raises(UsageError, match="no such model file"):
        load_model(tmp_path / "absent.keras")
