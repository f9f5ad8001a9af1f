"""Answers of a server and of a local model against the model in Python, and what goes wrong."""

import json
import math
import socket

import numpy as np
import pytest

from tests.helpers.small_server import SmallServer
from tfp_cinn import UsageError
from tfp_cinn.client import connect, open_local
from tfp_cinn.distribution import scaled
from tfp_cinn.export.signatures import noise

REQUEST = {"z": np.zeros((2, 64), np.float32), "cond": [0, 1]}
ARGUMENTS = {
    "sample": ("cond", "seed", "temperature"),
    "log_prob": ("x", "cond"),
    "encode": ("x", "cond"),
    "decode": ("z", "cond"),
}


def complaint(client, signature="decode", request=REQUEST):
    with pytest.raises(UsageError) as caught:
        client.predict(signature, request)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 800
    return text


@pytest.mark.parametrize("rows", [0, 1, 150])
def test_every_signature_gives_what_the_model_gives_by_every_way(exported, server, ask, rows):
    rng = np.random.RandomState(0)
    v = {
        "x": rng.uniform(0, 17, (rows, 8, 8, 1)).astype(np.float32),
        "z": rng.randn(rows, 64).astype(np.float32),
        "cond": rng.randint(0, 10, rows).astype(np.int32),
        "seed": rng.randint(-(2**31), 2**31, (rows, 2)).astype(np.int32),
        "temperature": rng.uniform(0, 1, rows).astype(np.float32),
    }
    dist = exported.model.distribution
    z = scaled(noise(v["seed"], (64,), "float32"), v["temperature"], 1)
    expected = {
        "sample": {"x": dist.decode(z, v["cond"])},
        "log_prob": {"log_prob": dist.log_prob(v["x"], v["cond"])},
        "encode": {"z": dist.encode(v["x"], v["cond"])},
        "decode": {"x": dist.decode(v["z"], v["cond"])},
    }
    with open_local(exported.path.parent) as local:
        for client in (ask(), local):
            for signature, names in ARGUMENTS.items():
                answer = client.predict(signature, {name: v[name] for name in names})
                assert answer.keys() == expected[signature].keys()
                for key, value in expected[signature].items():
                    assert answer[key].dtype == np.float32
                    # The session adds up in another order than eager kernels do.
                    atol = 1e-5 * np.abs(value).max(initial=1.0)
                    np.testing.assert_allclose(answer[key], value, rtol=0, atol=atol)
            assert client.card() == json.loads((exported.path / "model_card.json").read_text())
    # The card once, no request without rows, and three of at most 64 for 150.
    assert len(server.asked) == 1 + 4 * -(-rows // 64)


@pytest.mark.parametrize(
    ("signature", "change", "message"),
    [
        ("paint", {}, "no signature 'paint', expected one of"),
        ("decode", {"z": None}, "decode: expected the inputs z, cond, got cond"),
        ("decode", {"x": 1}, "got z, cond, x"),
        ("decode", {"z": "text"}, "input z: expected float32 [N, 64] (Cannot cast"),
        ("decode", {"z": [[1], [1, 2]]}, "input z: expected float32 [N, 64] ("),
        ("decode", {"z": np.zeros((2, 63))}, "expected float32 [N, 64], got [2, 63]"),
        ("decode", {"cond": [0.5, 1.0]}, "input cond: expected int32 [N] (Cannot cast"),
        ("decode", {"cond": [2**40, 0]}, "expected int32, got 1099511627776"),
        ("decode", {"cond": [3]}, "inputs of equally many rows, got {'z': 2, 'cond': 1}"),
        ("decode", {"cond": [3, 10]}, "1 of 2 rows of the answer aren't numbers (row 1)"),
        ("decode", {"z": np.full((2, 64), np.nan)}, "2 of 2 rows of the answer aren't numbers"),
    ],
)
def test_wrong_input_is_one_line(exported, signature, change, message):
    request = {name: value for name, value in (REQUEST | change).items() if value is not None}
    with open_local(exported.path) as client:
        assert message in complaint(client, signature, request)


def numbers_only(change):
    """Changes other answers than the card."""
    return lambda outputs: {k: v if v.dtype == object else change(v) for k, v in outputs.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (numbers_only(lambda x: x[1:]), "of 2 rows of x float32 [N, 8, 8, 1], got x float32 [1, 8"),
        (numbers_only(lambda x: x[..., 0]), "got x float32 [2, 8, 8]"),
        (numbers_only(np.float64), "of x float32 [N, 8, 8, 1], got x float64"),
        (lambda o: o if "card" in o else {"y": o["x"]}, "got y float32"),
        (lambda o: {"card": np.array([b"[" * 9999], object)}, "the model's card can't be read"),
        (lambda o: {"card": np.array([b'{"signatures": {}}'], object)}, "card can't be read"),
    ],
)
def test_a_wrong_answer_is_said(server, ask, change, message):
    server.change = change
    assert message in complaint(ask())


def test_a_local_model_is_found_by_its_newest_version(exported, tmp_path, foreign):
    models = tmp_path / "digits"
    models.mkdir()
    (models / ".2-abc.tmp").mkdir()
    for name in ("9", "10"):
        (models / name).symlink_to(exported.path)
    with open_local(models) as client:
        assert str(client) == str(models / "10")
    with open_local(models, version=9) as client:
        assert client.card()["version"] == 1
    (tmp_path / "damaged" / "1").mkdir(parents=True)
    (tmp_path / "damaged" / "1" / "saved_model.pb").write_bytes(b"not a model")
    for folder, version, message in (
        (models, 3, "has no version 3, expected one of 9, 10"),
        (models / "9", 9, "is the folder of one version; give no version with it, or the folder"),
        (tmp_path / "none", None, "expected a folder of exported versions, MODELS/NAME"),
        (models / ".2-abc.tmp", None, "holds no version"),
        (tmp_path / "damaged", None, "can't be loaded"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            open_local(folder, version)
        assert "\n" not in str(caught.value)
    with open_local(foreign.parent) as client:
        assert "no signature 'card'" in complaint(client)


def test_a_server_that_is_not_there_or_silent_is_said(ask):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = complaint(ask(address, timeout=0.5))
    assert text.startswith(f"{address}, model 'digits': no ")
    assert "check that it runs" in text or "check the address" in text
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = complaint(ask(f"127.0.0.1:{silent.getsockname()[1]}", timeout=0.5))
    assert "no answer in time" in text and "give a longer timeout" in text
    assert "(UNAVAILABLE" in complaint(ask(tls=True, timeout=5.0))  # the server speaks none


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"model": "cats"}, "model 'cats': not served; check .* (NOT_FOUND: Servable not found"),
        ({"version": 7}, "model 'digits' version 7: not served"),
        ({"label": "x"}, "model 'digits' label 'x': the request is refused"),
    ],
)
def test_what_is_not_served_is_named(ask, choice, message):
    start, _, end = message.partition(" .* ")
    text = complaint(ask(**choice))
    assert start in text and end in text


def test_a_model_of_another_program_is_refused(foreign):
    with SmallServer(foreign) as server, connect(server.address, model="digits") as client:
        text = complaint(client)
    assert 'signature key "card" not found' in text and "that bin/export.py exported" in text


def test_requests_are_made_again_while_the_server_is_unavailable(server, ask):
    """Also one of more than 256 KiB, which gRPC by default doesn't keep for another attempt."""

    def change(outputs):
        if "card" not in outputs:
            return outputs
        card = json.loads(outputs["card"][0]) | {"batch_sizes": [2000]}
        return {"card": np.array([json.dumps(card).encode()], object)}

    server.change = change
    client = ask()
    client.card()
    server.failures = [("UNAVAILABLE", "starting")]
    client.predict("decode", {"z": np.zeros((2000, 64)), "cond": np.zeros(2000, int)})
    assert server.asked == ["card"] + ["decode"] * 2
    server.failures = [("INVALID_ARGUMENT", "Task size 60 is larger than maximum")]
    assert "is refused; " in complaint(client)
    assert server.asked == ["card"] + ["decode"] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"server": "http://localhost:8501"}, "server: expected host:port"),
        ({"server": "localhost:99999"}, "server: expected host:port"),
        ({"model": ""}, "model: expected the name"),
        ({"version": 1, "label": "canary"}, "either a version or a label"),
        ({"version": 0}, "version: expected a whole number from 1, got 0"),
        ({"timeout": math.nan}, "timeout: expected seconds, more than 0, got nan"),
    ],
)
def test_wrong_arguments_are_said_at_once(arguments, message):
    with pytest.raises(UsageError, match=message):
        connect(**{"server": "localhost:8500", "model": "digits"} | arguments)
