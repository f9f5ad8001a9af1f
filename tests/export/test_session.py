"""The session loader, and the exported graph in it against the model in Python."""

import concurrent.futures
import gc
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from exporting import some
from tensorflow_serving.apis import prediction_log_pb2

from tfp_cinn.export import SavedModelSession, session
from tfp_cinn.export.signatures import noise

# Loads the session's file by its path, as importing the package would import TensorFlow.
WITHOUT_TENSORFLOW = """
import importlib.util, sys
import numpy as np

spec = importlib.util.spec_from_file_location("session", sys.argv[1])
session = importlib.util.module_from_spec(spec)
spec.loader.exec_module(session)
values = dict(np.load(sys.argv[3]))
results = {}
with session.SavedModelSession(sys.argv[2]) as loaded:
    for name, (inputs, _) in loaded.signatures.items():
        for count in (0, 1, 7, 64):
            answer = loaded.run(name, {key: values[key][:count] for key in inputs})
            results |= {f"{name}/{key}/{count}": value.astype("U") if value.dtype == object
                        else value for key, value in answer.items()}
assert "tensorflow" not in sys.modules
assert not any(name.startswith("tensorflow.python") for name in sys.modules)
np.savez(sys.argv[4], **results)
"""


def test_every_signature_equals_python_in_a_process_without_tensorflow(
    model, published, rows, tmp_path
):
    v = rows(64)
    np.savez(tmp_path / "in.npz", **v)
    paths = [session.__file__, published, tmp_path / "in.npz", tmp_path / "out.npz"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *map(str, paths)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    results = dict(np.load(tmp_path / "out.npz"))
    dist = model.distribution
    z = noise(v["seed"], (64,), "float32") * v["temperature"][:, None]
    x = dist.decode(z, v["cond"]).numpy()
    expected = {
        "sample/x": x,
        "serving_default/x": x,
        "decode/x": dist.decode(v["z"], v["cond"]).numpy(),
        "encode/z": dist.encode(v["x"], v["cond"]).numpy(),
        "log_prob/log_prob": dist.log_prob(v["x"], v["cond"]).numpy(),
        "card/card": np.full(64, (published / "model_card.json").read_text().strip()),
    }
    assert {name.rpartition("/")[0] for name in results} == expected.keys()
    for name, result in results.items():
        output, _, count = name.rpartition("/")
        whole = expected[output]
        assert result.shape == (int(count), *whole.shape[1:])
        if whole.dtype.kind == "U":
            assert (result == whole[: int(count)]).all()
        else:
            # Rounding only: a matrix product adds up in an order that depends on the batch size.
            scale = np.abs(whole).max()
            np.testing.assert_allclose(result / scale, whole[: int(count)] / scale, atol=1e-5)


def test_signatures_are_those_of_the_card(published):
    card = json.loads((published / "model_card.json").read_text())
    with SavedModelSession(published) as loaded:
        assert loaded.signatures.keys() == card["signatures"].keys() | {"serving_default"}
        for name, described in card["signatures"].items():
            for side, facts in zip(("inputs", "outputs"), loaded.signatures[name], strict=True):
                there = {k: (list(t.shape), t.dtype) for k, t in facts.items()}
                assert there == {
                    key: (row["shape"], tf.as_dtype(row["dtype"]).as_numpy_dtype)
                    for key, row in described[side].items()
                }
                assert all(t.shape[0] is None for t in facts.values())


def test_weights_are_stored_once(model, published):
    stored = tf.train.list_variables(published / "variables" / "variables")
    shapes = [tuple(shape) for name, shape in stored if not name.startswith("_CHECKPOINTABLE")]
    assert sorted(shapes) == sorted(tuple(w.shape) for w in model.weights)


def test_several_threads_may_ask_at_once(published, rows):
    values = rows(64)
    with SavedModelSession(published) as loaded:
        inputs = some(values, loaded, "log_prob")
        whole = loaded.run("log_prob", inputs)["log_prob"]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            each = list(
                pool.map(
                    lambda k: loaded.run("log_prob", {n: v[k : k + 1] for n, v in inputs.items()}),
                    range(64),
                )
            )
    np.testing.assert_allclose(np.concatenate([a["log_prob"] for a in each]), whole, rtol=1e-5)


@pytest.mark.parametrize(
    ("signature", "changes", "message"),
    [
        ("draw", {}, "no signature 'draw', expected one of card, decode"),
        ("decode", {"z": None}, "expected the inputs cond, z, got cond"),
        ("decode", {"z": np.zeros((2, 63), "float32")}, r"shape \[2, 63\], expected \[N, 64\]"),
        ("decode", {"cond": np.zeros(2, "float32")}, "input cond is float32, expected int32"),
        ("decode", {"cond": np.zeros(3, "int32")}, "decode: .*(batch|shape|dimensions)"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(published, signature, changes, message):
    inputs = {"z": np.zeros((2, 64), "float32"), "cond": np.zeros(2, "int32")} | changes
    with SavedModelSession(published) as loaded:
        with pytest.raises(ValueError, match=message) as caught:
            loaded.run(signature, {k: v for k, v in inputs.items() if v is not None})
        assert "\n" not in str(caught.value)
        assert loaded.run("decode", {"z": inputs_of(2), "cond": [1, 2]})["x"].shape == (2, 8, 8, 1)


def inputs_of(count):
    return np.zeros((count, 64), "float32")


def test_values_that_the_dtype_has_no_room_for_are_refused(published):
    with SavedModelSession(published) as loaded:
        z = inputs_of(1)
        for cond in (2**32 + 3, -(2**31) - 1, 2**31):
            message = rf"cond has the value {cond}, expected -2147483648 to 2147483647, .* int32"
            with pytest.raises(ValueError, match=message):
                loaded.run("decode", {"z": z, "cond": np.array([cond])})
        with pytest.raises(ValueError, match=r"z has the value 1e\+300, expected -3.4.* float32"):
            loaded.run("decode", {"z": z.astype("float64") + 1e300, "cond": [3]})
        # What fits is taken as it is, and so is infinity, which a float can be.
        right = loaded.run("decode", {"z": z, "cond": [3]})["x"]
        same = loaded.run("decode", {"z": z.astype("float64"), "cond": np.array([3], "int64")})["x"]
        np.testing.assert_array_equal(same, right)
        assert np.isnan(loaded.run("decode", {"z": z + np.inf, "cond": [3]})["x"]).all()


@pytest.fixture
def saved(tmp_path):
    """Saves a function of one tensor as a model, and returns where."""

    def saved(function, dtype="float32"):
        spec = tf.TensorSpec([None], dtype, "x")
        module = tf.Module()
        module.function = tf.function(lambda x: {"y": function(x)}, input_signature=[spec])
        tf.saved_model.save(module, tmp_path / "saved", signatures={"s": module.function})
        return tmp_path / "saved"

    return saved


@pytest.mark.parametrize(
    ("function", "dtype", "message"),
    [
        (tf.strings.length, "string", "s: x is of dtype DT_STRING"),
        (tf.math.real, "complex64", "s: x is of dtype DT_COMPLEX64"),
        (lambda x: tf.cast(x, "float32"), "bfloat16", "s: x is of dtype DT_BFLOAT16"),
        (lambda x: tf.cast(x, "bfloat16"), "float32", "s: y is of dtype DT_BFLOAT16"),
    ],
)
def test_dtypes_that_it_could_not_read_are_refused(saved, function, dtype, message):
    with pytest.raises(ValueError, match=message):
        SavedModelSession(saved(function, dtype))


@pytest.mark.parametrize(
    "dtype",
    [
        "float16",
        "float32",
        "float64",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "bool",
    ],
)
def test_other_dtypes_go_through_unchanged(saved, dtype):
    values = np.array([0, 1, 100]).astype(dtype)
    with SavedModelSession(saved(tf.identity, dtype)) as loaded:
        answer = loaded.run("s", {"x": values})["y"]
    assert answer.dtype == values.dtype
    np.testing.assert_array_equal(answer, values)


def test_closing_waits_for_calls_that_run_and_refuses_others(saved, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def wait(x):  # until somebody writes to the pipe, whose name no optimizer can foresee
        name = tf.gather([str(pipe), "none"], tf.cast(x[0], tf.int32))
        return x + tf.cast(tf.strings.length(tf.io.read_file(name)), x.dtype)

    loaded = SavedModelSession(saved(wait))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        running = [pool.submit(loaded.run, "s", {"x": [0.0]}) for _ in range(2)]
        while loaded._running < 2:
            time.sleep(0.01)
        closing = [pool.submit(loaded.close) for _ in range(2)]
        while not loaded._closed:
            time.sleep(0.01)
        with pytest.raises(ValueError, match="the model is closed; load it again"):
            loaded.run("s", {"x": [0.0]})
        time.sleep(0.3)  # time enough to end, for a close that doesn't wait
        assert not any(each.done() for each in closing + running)
        writer = os.open(pipe, os.O_RDWR)
        for each in running:  # a pipe can't be read as a file, so that they end by that error
            assert "pipe; Illegal seek" in str(each.exception(timeout=60))
        for each in closing:
            each.result(timeout=60)
        os.close(writer)
    loaded.close()
    with pytest.raises(ValueError, match="the model is closed"):
        loaded.run("s", {"x": [0.0]})


def test_a_session_that_nobody_closes_is_freed(saved, monkeypatch):
    freed = []
    honest = session._delete_session
    monkeypatch.setattr(session, "_delete_session", lambda *a: (freed.append(a), honest(*a)))
    path = saved(tf.identity)
    loaded = SavedModelSession(path)
    loaded.run("s", {"x": [1.0]})
    del loaded
    gc.collect()
    assert len(freed) == 1
    with SavedModelSession(path) as loaded:
        loaded.close()
    del loaded
    gc.collect()
    assert len(freed) == 2


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="can't be loaded: Could not find SavedModel"):
        SavedModelSession(tmp_path)


def test_replay_takes_as_many_records_as_a_server(saved):
    path = saved(tf.identity)
    file = path / session.WARM_UP
    file.parent.mkdir()
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = "s"
    one = tf.make_tensor_proto(np.ones(2, "float32"))  # of one alone it writes no bytes
    log.predict_log.request.inputs["x"].CopyFrom(one)
    log.predict_log.response.outputs["y"].CopyFrom(one)
    for count, message in ((1000, None), (1001, "holds 1001 records, expected 1 to 1000")):
        with tf.io.TFRecordWriter(str(file)) as writer:
            for _ in range(count):
                writer.write(log.SerializeToString())
        if message is None:
            assert session.replay(path)["records"] == count
        else:
            with pytest.raises(ValueError, match=message):
                session.replay(path)


def test_the_file_called_without_a_model_says_how():
    done = subprocess.run([sys.executable, session.__file__], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "usage: python session.py MODELS/NAME/VERSION\n" and not done.stdout
