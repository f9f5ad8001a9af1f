"""The session loader refuses what a server would, and answers as the model in Python."""

import concurrent.futures
import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from tests.helpers.exporting import some
from tfp_cinn.export import session
from tfp_cinn.export.session import SavedModelSession
from tfp_cinn.export.signatures import noise


def test_every_signature_equals_python_and_the_card(model, published, rows):
    v = rows(64)
    dist = model.distribution
    z = noise(v["seed"], (64,), "float32") * v["temperature"][:, None]
    x = dist.decode(z, v["cond"]).numpy()
    expected = {
        "sample": x,
        "serving_default": x,
        "decode": dist.decode(v["z"], v["cond"]).numpy(),
        "encode": dist.encode(v["x"], v["cond"]).numpy(),
        "log_prob": dist.log_prob(v["x"], v["cond"]).numpy(),
    }
    with SavedModelSession(published) as loaded:
        assert loaded.signatures.keys() == expected.keys() | {"card"}
        for name, whole in expected.items():
            inputs = some(v, loaded, name)
            for count in (1, 7, 64):
                (got,) = loaded.predict(name, {k: n[:count] for k, n in inputs.items()}).values()
                # Rounding only: a matrix product adds up in an order that depends on the batch.
                atol = 1e-5 * np.abs(whole).max()
                np.testing.assert_allclose(got, whole[:count], rtol=0, atol=atol)
        card = json.loads(loaded.predict("card", {"row": [5]})["card"][0])
        for name, described in card["signatures"].items():
            there = loaded.signatures[name]
            for side, infos in (("inputs", there.inputs), ("outputs", there.outputs)):
                assert described[side].keys() == infos.keys()
                for key, info in infos.items():
                    shape = tf.TensorShape(info.tensor_shape).as_list()
                    assert (described[side][key]["shape"], shape[0]) == (shape, None)
                    assert tf.as_dtype(described[side][key]["dtype"]) == tf.as_dtype(info.dtype)
    assert card == json.loads((published / "model_card.json").read_text())


def test_weights_are_stored_once(model, published):
    stored = tf.train.list_variables(published / "variables" / "variables")
    shapes = [tuple(shape) for name, shape in stored if not name.startswith("_CHECKPOINTABLE")]
    assert sorted(shapes) == sorted(tuple(w.shape) for w in model.weights)


def test_several_threads_may_ask_at_once(published, rows):
    values = rows(64)
    with SavedModelSession(published) as loaded:
        inputs = some(values, loaded, "log_prob")
        whole = loaded.predict("log_prob", inputs)["log_prob"]

        def ask(k):
            return loaded.predict("log_prob", {n: v[k : k + 1] for n, v in inputs.items()})

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            each = list(pool.map(ask, range(64)))
    np.testing.assert_allclose(np.concatenate([a["log_prob"] for a in each]), whole, rtol=1e-5)
    with pytest.raises(ValueError, match="log_prob: .*closed Session"):
        ask(0)


class HoldsKeras(tf.Module):
    """Opens with `tf.saved_model.load`, and fails in a server: Keras's weights aren't tracked."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)
        self.dense.build((None, 2))

    @tf.function(input_signature=[tf.TensorSpec([None, 2], name="x")])
    def function(self, x):
        return {"y": self.dense(x)}


def save(folder, module):
    tf.saved_model.save(module, folder, signatures={"serving_default": module.function})


def write_warm_up(folder, count, x, y):
    """Records of the request x and the response y."""
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32(x)))
    log.predict_log.response.outputs["y"].CopyFrom(tf.make_tensor_proto(np.float32(y)))
    (folder / session.WARM_UP).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / session.WARM_UP)) as writer:
        for _ in range(count):
            writer.write(log.SerializeToString())


def retag(folder):
    file = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    saved.meta_graphs[0].meta_info_def.tags[:] = ["train"]
    file.write_bytes(saved.SerializeToString())


@pytest.fixture
def doubling(tmp_path):
    """A sound model of y = 2 x, x of one number, with a warm-up."""
    module = tf.Module()
    module.two = tf.Variable(2.0)
    spec = tf.TensorSpec([None], name="x")
    module.function = tf.function(lambda x: {"y": module.two * x}, input_signature=[spec])
    save(tmp_path / "1", module)
    write_warm_up(tmp_path / "1", 2, [1, 2], [2, 4])
    return tmp_path / "1"


def test_a_keras_layer_in_a_module_is_refused(tmp_path):
    save(tmp_path / "1", HoldsKeras())
    write_warm_up(tmp_path / "1", 1, [[0, 0]], [[0, 0, 0]])
    loaded = tf.saved_model.load(tmp_path / "1")
    assert loaded.signatures["serving_default"](tf.zeros((1, 2)))["y"].shape == (1, 3)
    with pytest.raises(ValueError, match="serving_default: .*Could not find variable"):
        session.replay(tmp_path / "1")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: shutil.rmtree(p / "variables"), "can't be loaded: .*variables"),
        (lambda p: (p / "saved_model.pb").write_bytes(b"no model"), "can't be loaded"),
        (retag, "can't be loaded: .*tags 'serve' could not be found"),
        (lambda p: write_warm_up(p, 1, [[1, 2]], [2, 4]), "serving_default: .*shape"),
        (lambda p: write_warm_up(p, 1, [1, 2], [2, 5]), "output y of warm-up record 0 differs"),
        (lambda p: write_warm_up(p, 0, [1], [2]), "holds no records, expected 1 to 1000"),
        (lambda p: write_warm_up(p, 1001, [1], [2]), "holds 1001 records, expected 1 to 1000"),
        (lambda p: (p / session.WARM_UP).unlink(), "can't be read"),
        (lambda p: (p / session.WARM_UP).write_bytes(b"no record" * 9), "can't be read"),
    ],
)
def test_what_a_server_would_refuse_is_refused(doubling, spoil, message):
    assert session.replay(doubling)["records"] == 2
    spoil(doubling)
    with pytest.raises(ValueError, match=message) as caught:
        session.replay(doubling)
    assert "\n" not in str(caught.value)


@pytest.mark.long
def test_the_file_works_without_the_package(doubling):
    done = subprocess.run(
        [sys.executable, session.__file__, doubling], capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0 and json.loads(done.stdout)["signatures"] == ["serving_default"]
