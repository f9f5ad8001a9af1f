"""The binaries one after the other, as a user calls them, each in a process of its own."""

import json

import numpy as np
import pytest

from tests.helpers.binaries import call

SMALL = ["--config.train.epochs=2", "--config.model.blocks=2", "--config.model.hidden=(16,)"]


@pytest.mark.long
def test_from_training_to_an_answer_of_the_export(tmp_path):
    def run(binary, *arguments):
        done = call(binary, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    workdir = f"--workdir={tmp_path / 'run'}"
    assert any("Epoch 2/2" in line for line in run("train", "--config=digits", workdir, *SMALL))

    *table, last = run("evaluate", workdir, "--num_samples=5")
    assert any("bits/dim" in line for line in table)
    result = json.loads(last)
    assert result == json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert 2.0 < result["bits_per_dim"]["mean"] < 4.1  # log2(17) is that of a uniform guess
    assert 0.1 < result["class_accuracy"]["mean"] <= 1.0
    assert result["cnn_accuracy"]["real"]["mean"] > 0.95

    path, last = run("explore", workdir, "--what=temperature", f"--output={tmp_path}", "--cond=3,7")
    assert json.loads(last)["pictures"] == {"temperature": path}

    drawing = ["--num_samples=4", "--seed=1", "--cond=3,7"]
    sample, answer = tmp_path / "sample.npz", tmp_path / "answer.npz"
    assert run("sample", workdir, *drawing, f"--output={sample}")[-1] == str(sample)
    models = tmp_path / "models" / "digits"
    assert run("export", workdir, f"--output={models}", "--batch_sizes=8")[-1] == f"{models}/1"
    run("client", f"--saved_model={models}", *drawing, f"--output={answer}")
    with np.load(sample) as ours, np.load(answer) as theirs:
        np.testing.assert_allclose(ours["x"], theirs["x"], atol=1e-3)

    done = call("sample", workdir, "--cond=11", f"--output={tmp_path / 'x.png'}")
    assert done.returncode == 2 and not done.stdout and "Traceback" not in done.stderr
    assert "bin/sample.py: " in done.stderr and "label 11 is out of range" in done.stderr
