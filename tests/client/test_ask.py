"""What `bin/client.py` does, in this process; the binary itself is in tests/bin."""

import json
import re

import numpy as np
import pytest

from tfp_cinn import UsageError
from tfp_cinn.client.ask import ask_for_samples
from tfp_cinn.tasks.sampler import ModelSampler


def asked(path, **kwargs):
    ask_for_samples(output=path, **kwargs)
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture
def local(exported):
    return {"saved_model": exported.path.parent}


def test_the_same_file_comes_by_every_way(exported, server, local, tmp_path, capsys):
    of_server = {"server": server.address, "model": "digits"}
    ways = {"grpc": of_server, "local": local, "version": {"saved_model": exported.path}}
    drawing = {"cond": ["3", "SEVEN"], "num_samples": 40, "temperature": 0.8, "seed": 5}
    arrays = {name: asked(tmp_path / f"{name}.npz", **way, **drawing) for name, way in ways.items()}
    assert server.asked == ["card", *["sample", "log_prob"] * 2]
    who, latency, last, *_ = capsys.readouterr().out.splitlines()
    assert who == f"{server.address}, model 'digits': version 1"
    assert re.fullmatch(r"2 requests, 80 rows: median [\d.]+ ms", latency)
    assert last == str(tmp_path / "grpc.npz")
    first = arrays["grpc"]
    assert first["x"].shape == (40, 2, 8, 8, 1) and first["x"].dtype == np.float32
    assert first["cond"].tolist() == [3, 7] and first["cond"].dtype == np.int32
    for each in arrays.values():
        for key, value in first.items():
            np.testing.assert_array_equal(each[key], value)
    # A run of the same model draws the same, in batches of its own.
    cond = np.array([3, 7], np.int32)
    x, log_prob = ModelSampler(exported.model).sample(cond, 40, 0.8, 5)
    np.testing.assert_allclose(first["x"], x, atol=1e-4)
    np.testing.assert_allclose(first["log_prob"], log_prob, rtol=1e-4)
    picture = ask_for_samples(output=tmp_path / "x.png", **local, **drawing)
    assert picture.read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"server": "localhost:8500"}, "expected either --server or --saved_model"),
        ({"saved_model": None, "server": "localhost:8500"}, "model: expected the name"),
        ({"version": 2}, "has no version 2, expected one of 1"),
        ({"num_samples": 0}, "num_samples: expected 1 or more, got 0"),
        ({"temperature": -1.0}, "temperature: expected 0 or more"),
        ({"temperature": 1e39}, "rows of the answer aren't numbers"),
        ({"seed": -1}, "seed: expected"),
        ({"label": "canary"}, "--label: for --server alone, --saved_model is answered without"),
        (
            {"model": "digits", "timeout": 1.0, "tls": False},
            "--model, --timeout, --tls: for --server alone",
        ),
        ({"cond": [10]}, "label 10 is out of range: expected 0 to 9"),
        ({"output": "x.pdf"}, "expected a .npz or .png file in a folder that exists"),
    ],
)
def test_wrong_arguments_are_said(local, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        ask_for_samples(**local | {"output": "x.png"} | arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_samples_that_are_not_numbers_are_said_and_not_written(server, tmp_path):
    for bad, message in (
        (np.nan, "rows of the answer aren't numbers"),
        (np.inf, "160 of 160 samples hold NaN or infinity"),
    ):
        server.change = lambda outputs, bad=bad: (
            {"x": outputs["x"] * np.float32(bad)} if "x" in outputs else outputs
        )
        path = tmp_path / "x.png"
        with pytest.raises(UsageError, match=message):
            ask_for_samples(server.address, model="digits", output=path)
        assert not path.exists()


def with_card(change):
    """Changes the card that is answered, given as a dict."""

    def answer(outputs):
        if "card" not in outputs:
            return outputs
        card = json.loads(outputs["card"][0])
        change(card)
        return {"card": np.array([json.dumps(card).encode()], object)}

    return answer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["signatures"].pop("sample"), "doesn't draw x (KeyError('sample'))"),
        (lambda c: c["signatures"]["sample"]["inputs"].pop("seed"), "doesn't draw x"),
        (lambda c: c["signatures"].pop("log_prob"), "doesn't draw x (KeyError('log_prob'))"),
        (lambda c: c.update(task="classes", dataset="digits") or c.pop("levels"),
         "the task 'classes' is described without levels"),
    ],
)  # fmt: skip
def test_a_card_that_lacks_something_is_said(server, tmp_path, change, message):
    server.change = with_card(change)
    address = server.address
    with pytest.raises(UsageError) as caught:
        ask_for_samples(address, model="digits", output=tmp_path / "x.png")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_names_are_written_into_pictures_as_they_are(server, tmp_path):
    """Between dollars matplotlib would read mathematics, and fail at half of it."""
    odd = ["$\\frac{$", "a$b$c", "$", "$$", "\\alpha", "_^{", "%", "é", "", "a\nb"]
    server.change = with_card(lambda c: c.update(class_names=odd, dataset="$\\frac{$"))
    for cond in (None, [0]):  # names before the rows, and one in the title
        path = ask_for_samples(server.address, model="digits", cond=cond, output=tmp_path / "x.png")
        assert path.stat().st_size > 1000
