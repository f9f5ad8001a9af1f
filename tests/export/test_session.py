"""The session loader, and the exported graph in it against the model in Python."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from exporting import some

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
    import concurrent.futures

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


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="can't be loaded: Could not find SavedModel"):
        SavedModelSession(tmp_path)
