"""What `bin/client.py` does, in this process; the binary itself is in tests/bin."""

import json
import re
import types

import numpy as np
import pytest

from tfp_cinn import UsageError
from tfp_cinn.client import ask as run
from tfp_cinn.client.ask import ask_for_samples
from tfp_cinn.tasks.sampler import ModelSampler


def asked(path, **kwargs):
    ask_for_samples(output=path, **kwargs)
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture
def local(exported):
    return {"saved_model": exported.path.parent}


def test_the_same_file_comes_by_every_way(exported, server, local, tmp_path):
    ways = {
        "grpc": {"server": server.addresses["grpc"], "model": "digits"},
        "rest": {"server": server.addresses["rest"], "model": "digits", "protocol": "rest"},
        "local": local,
        "version": {"saved_model": exported.path},
    }
    drawing = {"cond": ["3", "SEVEN"], "num_samples": 40, "temperature": 0.8, "seed": 5}
    arrays = {name: asked(tmp_path / f"{name}.npz", **way, **drawing) for name, way in ways.items()}
    assert server.asked == ["card", *["sample", "log_prob"] * 2] * 2
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


def test_latency_and_path_are_printed(server, exported, tmp_path, capsys):
    path = tmp_path / "x.png"
    ask_for_samples(
        server.addresses["grpc"], model="digits", cond=[0, 1], num_samples=50, output=path
    )
    who, latency, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        rf"{server.addresses['grpc']}, model 'digits': version 1, asked by grpc; card [\d.]+ ms",
        who,
    )
    number = r"\d+\.\d"
    assert re.fullmatch(
        rf"2 requests, 100 rows: first {number} ms, median {number} ms, 90th percentile {number} "
        r"ms; \d+ rows/s",
        latency,
    )
    assert last == str(path) and path.exists()
    ask_for_samples(saved_model=exported.path.parent, num_samples=1, output=path)
    assert "in this process, without a server" in capsys.readouterr().out


def test_latencies_are_those_of_the_requests(local, tmp_path, capsys, monkeypatch):
    # The card takes 1 s; requests of 64, 64 and 22 rows take 0.3, 0.1 and 0.1 s.
    times = iter(np.cumsum([0, 1, 0, 0.3, 0, 0.1, 0, 0.1]))
    monkeypatch.setattr(run, "time", types.SimpleNamespace(perf_counter=lambda: next(times)))
    ask_for_samples(**local, num_samples=15, output=tmp_path / "x.png")
    who, latency, _ = capsys.readouterr().out.splitlines()
    assert who.endswith("card 1000.0 ms")
    assert latency == (
        "3 requests, 150 rows: first 300.0 ms, median 100.0 ms, 90th percentile 260.0 ms; "
        "300 rows/s"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"server": "localhost:8500"}, "expected either --server or --saved_model"),
        ({"saved_model": None, "server": "localhost:8500"}, "model: expected the name"),
        ({"version": 2}, "has no version 2, expected one of 1"),
        ({"num_samples": 0}, "num_samples: expected 1 or more, got 0"),
        ({"temperature": -1.0}, "temperature: expected 0 or more"),
        ({"temperature": 1e39}, "input temperature: expected a number of float32, got 1e+39"),
        ({"seed": -1}, "seed: expected"),
        ({"label": "canary"}, "--label: for --server alone, --saved_model is answered without"),
        (
            {"protocol": "grpc", "model": "digits", "timeout": 1.0, "tls": False},
            "--protocol, --model, --timeout, --tls: for --server alone",
        ),
        ({"cond": ["ten"]}, "expected class labels 0 to 9 or zero, one, two"),
        ({"cond": [10]}, "label 10 is out of range: expected 0 to 9"),
        ({"cond": []}, "cond: expected one class or more"),
        ({"output": "x.pdf"}, "expected a .npz or .png file in a folder that exists"),
        ({"output": "no/such/x.png"}, "in a folder that exists"),
        ({"num_samples": 501}, "use a .npz file"),
        (
            {"num_samples": 10**9, "output": "x.npz"},
            "num_samples: an array [1000000000, 10, 8, 8, 1] needs 2,441,406 MiB",
        ),
        ({"num_samples": 10**400, "output": "x.npz"}, " are available; ask for less"),
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
            ask_for_samples(server.addresses["grpc"], model="digits", output=path)
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
    address = server.addresses["grpc"]
    with pytest.raises(UsageError) as caught:
        ask_for_samples(address, model="digits", output=tmp_path / "x.png")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_names_are_written_into_pictures_as_they_are(server, tmp_path):
    """Between dollars matplotlib would read mathematics, and fail at half of it."""
    odd = ["$\\frac{$", "a$b$c", "$", "$$", "\\alpha", "_^{", "%", "é", "", "a\nb"]
    server.change = with_card(lambda c: c.update(class_names=odd, dataset="$\\frac{$"))
    for cond in (None, [0]):  # names before the rows, and one in the title
        path = tmp_path / "x.png"
        ask_for_samples(server.addresses["grpc"], model="digits", cond=cond, output=path)
        assert path.stat().st_size > 1000
        path.unlink()
