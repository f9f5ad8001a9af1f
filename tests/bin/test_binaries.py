"""Each binary once, as a user calls it, in a process of its own."""

import json

import numpy as np
import pytest

from tests.helpers.binaries import call

pytestmark = pytest.mark.long

SMALL = [
    "--config=configs/digits.py",
    "--config.train.epochs=2",
    "--config.model.blocks=2",
    "--config.model.hidden=(16,)",
]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "digits"
    done = call("train", *SMALL, f"--workdir={path}")
    assert done.returncode == 0, done.stderr
    assert "Epoch 2/2" in done.stdout
    return path


def test_evaluate_prints_a_table_and_json_last(workdir):
    done = call("evaluate", f"--workdir={workdir}", "--num_samples=5")
    assert done.returncode == 0, done.stderr
    *table, last = done.stdout.splitlines()
    assert any("bits/dim" in line for line in table)
    assert not any(line.startswith("{") for line in table)
    result = json.loads(last)
    assert result == json.loads((workdir / "evaluation.json").read_text())
    assert 2.0 < result["bits_per_dim"]["mean"] < 4.1  # log2(17) is that of a uniform guess
    assert 0.1 < result["class_accuracy"]["mean"] <= 1.0
    assert result["cnn_accuracy"]["real"]["mean"] > 0.95


def test_sample_draws_the_same_for_the_same_seed(workdir, tmp_path):
    x = []
    for seed, name in ((1, "a.npz"), (1, "b.npz"), (2, "c.npz")):
        arguments = [f"--output={tmp_path / name}", f"--seed={seed}", "--cond=3,7"]
        done = call("sample", f"--workdir={workdir}", "--num_samples=4", *arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().endswith(name)
        with np.load(tmp_path / name) as arrays:
            x.append(arrays["x"])
    np.testing.assert_array_equal(x[0], x[1])
    assert np.abs(x[0] - x[2]).max() > 1


def test_explore_draws_pictures_and_prints_json_last(workdir, tmp_path):
    folder = tmp_path / "new" / "pictures"
    arguments = ["--what=temperature", f"--output={folder}", "--cond=3,7"]
    done = call("explore", f"--workdir={workdir}", *arguments)
    assert done.returncode == 0, done.stderr
    path, last = done.stdout.splitlines()
    assert path == str(folder / "temperature.png")
    assert (folder / path).read_bytes()[1:4] == b"PNG"
    assert json.loads(last)["pictures"] == {"temperature": path}


def test_wrong_input_is_answered_in_one_line(workdir, tmp_path):
    done = call("sample", f"--workdir={workdir}", "--cond=11", f"--output={tmp_path / 'x.png'}")
    assert done.returncode == 2 and not done.stdout and "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("bin/sample.py: ")]
    assert "label 11 is out of range: expected 0 to 9" in line
    assert not (tmp_path / "x.png").exists()
