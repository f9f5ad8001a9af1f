import csv
import json
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
from tfp_cinn.training.schedule import learning_rate

import tfp_cinn
from tfp_cinn import NonFiniteError, UsageError, data
from tfp_cinn.training import checkpoints, default_config, train
from tfp_cinn.workdir import Workdir


def run(config, workdir):
    return train(config.to_dict(), workdir)


def metrics(workdir):
    with open(workdir / "metrics.csv") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_model_history_and_pictures(config, tmp_path, capsys):
    model = run(config, tmp_path / "run")
    rows = metrics(tmp_path / "run")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["nats_per_dim"]) < float(rows[0]["nats_per_dim"])
    saved = tfp_cinn.load_model(tmp_path / "run/model.keras")
    for a, b in zip(saved.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert json.loads((tmp_path / "run/config.json").read_text())["train"]["epochs"] == 2
    for picture in ("curve.png", "samples.png"):
        assert (tmp_path / "run" / picture).read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "run/tensorboard").glob("events*"))
    # ActNorm was calibrated on the first batch, not left the identity
    scales = next(weight for weight in saved.weights if weight.name == "log_scale")
    assert np.abs(scales).max() > 0.1
    assert not list((tmp_path / "run").rglob(".*"))  # no scratch files
    out = capsys.readouterr().out
    assert "epoch 2/2  train" in out
    assert "bits/dim" in out


def test_memory_and_dtype_reach_the_model(config, tmp_path):
    config.train.update({"epochs": 1, "memory": "recompute"})
    config.model.subnet_dtype = "mixed_bfloat16"
    model = run(config, tmp_path)
    assert float(metrics(tmp_path)[0]["reconstruction_error"]) > 0
    assert [layer.layers[0].compute_dtype for layer in model.flow_layers if hasattr(layer, "layers")
            ] == ["bfloat16"] * 4  # fmt: skip


def test_the_saved_model_is_that_of_the_best_epoch(config, tmp_path):
    config.train.epochs = 4
    # The last epochs take far too large steps.
    config.train.milestones = (2,)
    config.train.milestone_decay = 300.0
    model = run(config, tmp_path)
    values = [float(row["val_nats_per_dim"]) for row in metrics(tmp_path)]
    assert np.argmin(values) < 3
    validation = data.evaluation_batches(data.load("digits", num_validation=150).validation, 128)
    model.compile()
    got = model.evaluate(validation, verbose=0, return_dict=True)["nats_per_dim"]
    np.testing.assert_allclose(got, min(values), rtol=1e-4)


def test_a_run_goes_on_where_it_stopped(config, tmp_path, capsys):
    run(config, tmp_path)
    config.train.update({"epochs": 3, "learning_rate": 1e-3})
    run(config, tmp_path)
    assert "going on after epoch 2" in capsys.readouterr().out
    assert [row["epoch"] for row in metrics(tmp_path)] == ["1", "2", "3"]
    # The learning rate is the config's, not the checkpoint's.
    rates = [float(row["learning_rate"]) for row in metrics(tmp_path)]
    np.testing.assert_allclose(rates, [5e-4, 5e-5, 1e-4], rtol=1e-6)
    assert checkpoints_of(tmp_path) == ["step-000000020.npz", "step-000000030.npz"]
    # and has nothing to do when it is finished
    run(config, tmp_path)
    assert len(metrics(tmp_path)) == 3


def checkpoints_of(path):
    return sorted(p.name for p in (path / "checkpoints").iterdir())


def test_a_worse_epoch_after_a_restart_does_not_replace_the_best_model(config, tmp_path):
    run(config, tmp_path)
    best = (tmp_path / "model.keras").read_bytes()
    config.train.epochs = 3
    config.train.learning_rate = 1.0
    run(config, tmp_path)
    rows = metrics(tmp_path)
    assert float(rows[2]["val_nats_per_dim"]) > float(rows[1]["val_nats_per_dim"])
    assert (tmp_path / "model.keras").read_bytes() == best


def test_a_diverged_epoch_is_not_saved(config, tmp_path, monkeypatch):
    run(config, tmp_path)
    good = data.evaluation_batches

    def bad(*args, **kwargs):
        return good(*args, **kwargs).map(lambda x, c: (x * 1e30, c))

    monkeypatch.setattr(data, "evaluation_batches", bad)
    config.train.epochs = 3
    with pytest.raises(NonFiniteError, match="validation likelihood is .*step-000000020.npz"):
        run(config, tmp_path)
    monkeypatch.undo()
    run(config, tmp_path)
    assert len(metrics(tmp_path)) == 3


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_with_a_checkpoint(config, tmp_path, number):
    config.train.epochs = 1000
    overrides = [
        "--config=configs/digits.py",
        f"--workdir={tmp_path}",
        "--config.model.blocks=2",
        "--config.model.hidden=(16,)",
        "--config.train.epochs=1000",
    ]
    process = subprocess.Popen(
        [sys.executable, "bin/train.py", *overrides],
        cwd=pathlib.Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "epoch    1/1000" in process.stdout.readline()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"stopped by {number.name}; saved" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert checkpoints.newest(Workdir(tmp_path)) is not None
    tfp_cinn.load_model(tmp_path / "model.keras")


def test_learning_rate_follows_the_config():
    section = default_config().train.to_dict() | {"epochs": 50}
    rates = [learning_rate(section, epoch) for epoch in (0, 19, 20, 39, 40)]
    np.testing.assert_allclose(rates, [5e-4, 5e-4, 5e-5, 5e-5, 5e-6])
    section |= {"milestones": (), "warm_up_epochs": 1, "final_decay": 0.01, "epochs": 101}
    np.testing.assert_allclose(learning_rate(section, 0), 1e-5)
    np.testing.assert_allclose(learning_rate(section, 1), 5e-4)
    np.testing.assert_allclose(learning_rate(section, 102), 5e-6)


def test_no_good_checkpoint_is_an_error_and_nothing_is_lost(config, tmp_path):
    run(config, tmp_path)
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(b"junk")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match="no checkpoint can be loaded"):
        run(config, tmp_path)
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert before == after


def test_the_workdir_of_another_config_is_refused_and_left_alone(config, tmp_path):
    run(config, tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    config.model.blocks = 3
    with pytest.raises(UsageError, match="model.blocks is 2 there and 3 here"):
        run(config, tmp_path)
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}


def test_a_workdir_that_cannot_be_written_is_said(config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="can't make the workdir"):
        run(config, tmp_path / "file")


def test_non_finite_data_keep_the_last_good_checkpoint(config, tmp_path, monkeypatch):
    run(config, tmp_path)
    good = data.training_batches

    def bad(*args, **kwargs):
        return good(*args, **kwargs).map(lambda x, c: (x / 0.0, c))

    monkeypatch.setattr(data, "training_batches", bad)
    config.train.epochs = 4
    with pytest.raises(NonFiniteError, match="epoch 3, batch 1: the data x .*step-000000020.npz"):
        run(config, tmp_path)
    monkeypatch.undo()
    run(config, tmp_path)
    assert len(metrics(tmp_path)) == 4


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("batch_size", 5000, "batch_size is 5000"),
        ("checkpoint_seconds", -1.0, "config.train.checkpoint_seconds: expected 0 or more, got -1"),
        ("batch_size", 0, "config.train.batch_size: expected at least 1"),
        ("learning_rate", 0.0, "config.train.learning_rate: expected more than 0"),
        ("epochs", 0, "config.train.epochs"),
    ],
)
def test_wrong_fields_are_answered_before_anything_is_written(
    config, tmp_path, field, value, message
):
    config.train[field] = value
    with pytest.raises(UsageError, match=message):
        run(config, tmp_path / "new")
    assert not (tmp_path / "new").exists()
