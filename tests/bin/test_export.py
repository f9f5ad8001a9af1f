"""From training to a served version, through the binaries as a user calls them."""

import json

import pytest

from tests.helpers.binaries import call
from tfp_cinn.export import verify

pytestmark = pytest.mark.long

SMALL = [
    "--config=configs/digits.py",
    "--config.train.epochs=1",
    "--config.model.blocks=1",
    "--config.model.hidden=(16,)",
]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run that was trained and evaluated."""
    path = tmp_path_factory.mktemp("runs") / "digits"
    for done in (
        call("train", *SMALL, f"--workdir={path}"),
        call("evaluate", f"--workdir={path}", "--num_samples=2"),
    ):
        assert done.returncode == 0, done.stderr
    return path


def test_an_evaluated_run_becomes_a_version_with_its_figures(workdir, tmp_path):
    models = tmp_path / "models" / "digits"
    done = call("export", f"--workdir={workdir}", f"--output={models}", "--batch_sizes=1,8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(models / "1")
    measured = json.loads((workdir / "evaluation.json").read_text())
    assert "cnn_accuracy_samples_by_class" in measured  # which is no estimate
    card = json.loads((models / "1" / "model_card.json").read_text())
    assert card["evaluation"]["bits_per_dim"] == measured["bits_per_dim"]
    assert card["evaluation"].keys() < measured.keys()
    assert "cnn_accuracy_samples_by_class" not in card["evaluation"]
    assert card["model_sha256"] == measured["model_sha256"]
    assert card["rounding"]["batch"] == 8
    page = (models / "1" / "MODEL_CARD.md").read_text()
    figure = measured["bits_per_dim"]
    assert f"| bits_per_dim | {figure['mean']:.4g} | {figure['standard_error']:.2g} |" in page
    assert verify(models / "1")["records"] == 6 * 2


def test_wrong_input_is_answered_in_one_line(workdir, tmp_path):
    done = call("export", f"--workdir={workdir}", f"--output={tmp_path / 'm'}", "--version=0")
    assert done.returncode == 2 and not done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("bin/export.py: ")]
    assert "version: expected a whole number from 1" in line and "Traceback" not in done.stderr
    assert not (tmp_path / "m").exists()
