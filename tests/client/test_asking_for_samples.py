"""What `bin/client.py` does, in this process; the binary itself is in tests/bin."""

import re

import numpy as np
import pytest

from tfp_cinn import UsageError
from tfp_cinn.client.run import ask_for_samples


def asked(path, **kwargs):
    ask_for_samples(output=path, **kwargs)
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture
def local(exported):
    return {"saved_model": exported.path.parent}


def test_the_same_file_comes_by_every_way(exported, stand_in, local, tmp_path):
    ways = {
        "grpc": {"server": stand_in.grpc, "model": "digits"},
        "rest": {"server": stand_in.rest, "model": "digits", "protocol": "rest"},
        "local": local,
        "version": {"saved_model": exported.path},
    }
    arrays, pictures = {}, {}
    for name, way in ways.items():
        drawing = {"cond": ["3", "SEVEN"], "num_samples": 40, "temperature": 0.8, "seed": 5}
        arrays[name] = asked(tmp_path / f"{name}.npz", **way, **drawing)
        pictures[name] = ask_for_samples(output=tmp_path / f"{name}.png", **way, **drawing)
    assert stand_in.rows == [1, 64, 16] * 4
    first = arrays["grpc"]
    assert first["x"].shape == (2, 40, 8, 8, 1) and first["x"].dtype == np.float32
    assert first["cond"].tolist() == [3, 7] and first["cond"].dtype == np.int32
    assert (first["temperature"], first["seed"]) == (0.8, 5)
    for name in ways:
        np.testing.assert_array_equal(arrays[name]["x"], first["x"])
        assert pictures[name].read_bytes() == pictures["grpc"].read_bytes()


def test_a_sample_depends_on_seed_class_and_number_alone(local, tmp_path):
    def x(**kwargs):
        return asked(tmp_path / "x.npz", **local, **kwargs)["x"]

    both = x(cond=[3, 7], num_samples=40, seed=1)
    # Other batches round otherwise.
    np.testing.assert_allclose(x(cond="7", num_samples=5, seed=1)[0], both[1, :5], atol=1e-4)
    np.testing.assert_allclose(x(num_samples=2, seed=1)[[3, 7]], both[:, :2], atol=1e-4)
    assert np.abs(x(cond=[3], num_samples=40, seed=2)[0] - both[0]).max() > 1
    assert np.abs(both[0] - both[1]).max() > 1
    assert len(np.unique(both.reshape(80, -1), axis=0)) == 80


def test_latency_and_path_are_printed(stand_in, exported, tmp_path, capsys):
    path = tmp_path / "x.png"
    ask_for_samples(stand_in.grpc, model="digits", cond=[0, 1], num_samples=50, output=path)
    who, latency, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        rf"{stand_in.grpc}, model 'digits': version 1, asked by grpc; card [\d.]+ ms", who
    )
    number = r"\d+\.\d"
    match = re.fullmatch(
        rf"2 requests, 100 rows: first ({number}) ms, median ({number}) ms, 90th percentile "
        rf"({number}) ms; (\d+) rows/s",
        latency,
    )
    first, median, late, rate = map(float, match.groups())
    assert 0 < median <= late and first <= 2 * median and rate > 1
    assert last == str(path) and path.exists()
    ask_for_samples(saved_model=exported.path.parent, num_samples=1, output=path)
    assert "in this process, without a server" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"server": "localhost:8500"}, "expected either --server or --saved_model"),
        ({"saved_model": None}, "expected either --server or --saved_model"),
        ({"saved_model": None, "server": "localhost:8500"}, "model: expected the name"),
        ({"version": 2}, "has no version 2, expected one of 1"),
        ({"num_samples": 0}, "num_samples: expected 1 or more, got 0"),
        ({"temperature": -1.0}, "temperature: expected 0 or more"),
        ({"temperature": float("nan")}, "temperature: expected 0 or more"),
        ({"temperature": 1e39}, "input temperature: expected a number of float32, got 1e+39"),
        ({"seed": -1}, "seed: expected"),
        ({"label": "canary"}, "only a server knows labels; give --version"),
        ({"cond": ["ten"]}, "expected class labels 0 to 9 or zero, one, two"),
        ({"cond": [10]}, "label 10 is out of range: expected 0 to 9"),
        ({"cond": []}, "cond: expected one class or more"),
        ({"output": "x.pdf"}, ".png or a .npz"),
        ({"output": "no/such/x.png"}, "in a folder that exists"),
        ({"num_samples": 501}, "use a .npz file"),
    ],
)
def test_wrong_arguments_are_said(local, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        ask_for_samples(**local | {"output": "x.png"} | arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_samples_that_are_not_numbers_are_said_and_not_written(stand_in, tmp_path, protocol):
    address = {"grpc": stand_in.grpc, "rest": stand_in.rest}[protocol]
    for bad, message in ((np.nan, "rows of the answer's x are NaN"), (np.inf, "or infinite pixe")):
        stand_in.change = lambda outputs, bad=bad: (
            {"x": outputs["x"] * np.float32(bad)} if "x" in outputs else outputs
        )
        path = tmp_path / "x.png"
        with pytest.raises(UsageError, match=message):
            ask_for_samples(address, model="digits", protocol=protocol, output=path)
        assert not path.exists()


def test_a_model_that_says_nothing_of_its_classes_is_refused(exported, stand_in, tmp_path):
    def change(outputs):
        if "card" not in outputs:
            return outputs
        text = outputs["card"][0].replace(b"class_names", b"classes")
        return {"card": np.array([text], object)}

    stand_in.change = change
    with pytest.raises(UsageError, match="card doesn't tell its class_names; export a training r"):
        ask_for_samples(stand_in.grpc, model="digits", output=tmp_path / "x.png")
