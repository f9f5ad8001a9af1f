"""Two workers, real processes on this machine, and what becomes of their run when one is killed."""

import csv
import json
import os
import pathlib
import signal
import time

import numpy as np
import pytest

import tfp_cinn
from tests.helpers.binaries import call, start
from tfp_cinn.training import checkpoints
from tfp_cinn.workdir import Workdir

pytestmark = pytest.mark.long

SMALL = [
    "--config=configs/digits.py",
    "--config.data.num_validation=147",
    "--config.model.blocks=2",
    "--config.model.hidden=(16,)",
    "--config.model.dropout=0.0",  # of which replicas have their own
    "--config.model.act_norm=True",
    "--config.train.batch_size=128",
    "--config.train.steps_per_epoch=25",
    "--config.train.milestones=()",
    "--config.train.checkpoint_seconds=0.0",
]
FOREVER = "--config.train.epochs=100000"


TWO_WORKERS = ["launch", "--workers=2", "--", "bin/train.py", *SMALL]


def process_of_worker(launcher, index):
    children = pathlib.Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
    for child in map(int, children.split()):
        for entry in pathlib.Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            name, _, value = entry.partition(b"=")
            if name == b"TF_CONFIG" and json.loads(value)["task"]["index"] == index:
                return child
    raise AssertionError(f"worker {index} isn't there")


def kill(workdir, index):
    """Kills one of two workers as they train; returns the launcher's status, errors and seconds."""
    launcher = start(*TWO_WORKERS, FOREVER, f"--workdir={workdir}")
    line = ""
    while not line.startswith("epoch"):  # the first one; the next comes seconds later
        line = launcher.stdout.readline()
        assert line, launcher.communicate()
    os.kill(process_of_worker(launcher, index), signal.SIGKILL)
    killed = time.monotonic()
    _, errors = launcher.communicate(timeout=120)
    return launcher.returncode, errors, time.monotonic() - killed


def rows(workdir):
    with open(workdir / "metrics.csv") as file:
        return list(csv.DictReader(file))


def test_a_run_survives_the_death_of_any_worker_and_loses_nothing(tmp_path):
    workdir = tmp_path / "run"
    for index in (1, 0):
        status, errors, seconds = kill(workdir, index)
        assert status == 128 + signal.SIGKILL
        lines = errors.splitlines()
        assert f"worker {index} was ended by SIGKILL; all have ended" in lines[-1]
        # Broken connections are noticed at once, a silent machine by TensorFlow's heartbeat, after
        # 20 to 40 s; after 60 the launcher would end the other.
        assert seconds < 60
        if index:  # the survivor's line is the chief's, and shown as such
            (line,) = [line for line in lines if "bin/train.py: " in line]
            assert "another worker ended or can't be reached" in line
            newest = checkpoints.newest(Workdir(workdir))
            assert f"last good checkpoint: {newest}; start all workers again" in line
        assert "Traceback" not in errors

    # The same command goes on, on both, to the end of an epoch not far off.
    epochs = len(rows(workdir)) + 2
    until = f"--config.train.epochs={epochs}"
    done = call(*TWO_WORKERS, until, f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr  # the workers have compared their weights
    assert "going on after epoch" in done.stdout
    assert [row["epoch"] for row in rows(workdir)] == [str(k + 1) for k in range(epochs)]

    # A run on one device that nothing happened to learned the same.
    alone = call("train", *SMALL, until, f"--workdir={tmp_path / 'one'}")
    assert alone.returncode == 0, alone.stderr
    for got, expected in zip(rows(workdir), rows(tmp_path / "one"), strict=True):
        for name in ("loss", "val_loss", "nats_per_dim", "val_nats_per_dim"):
            # Float32 sums in another order, which 25 steps of Adam an epoch amplify; measured 3e-7.
            np.testing.assert_allclose(float(got[name]), float(expected[name]), atol=1e-5)

    # What several workers saved is a model like any other.
    model = tfp_cinn.load_model(workdir / "model.keras")
    assert np.all(np.isfinite(model.distribution.sample([3], seed=0)))
