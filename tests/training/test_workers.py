"""Two workers, real processes on this machine, and what becomes of a run when one is stopped."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tests.helpers.binaries import ROOT, call, start
from tfp_cinn.cli import configs
from tfp_cinn.training import checkpoints, train
from tfp_cinn.workdir import Workdir

pytestmark = pytest.mark.long

SMALL = {
    "data.num_validation": "147",
    "model.blocks": "2",
    "model.hidden": "(16,)",
    "model.dropout": "0.0",  # of which replicas have their own
    "model.act_norm": "True",
    "train.batch_size": "128",
    "train.steps_per_epoch": "10",
    "train.milestones": "()",
    "train.checkpoint_seconds": "0.0",
}
PROGRAM = ["bin/train.py", "--config=digits", *(f"--config.{k}={v}" for k, v in SMALL.items())]
TWO_WORKERS = ["launch", "--workers=2", "--", *PROGRAM]


def second_worker(launcher):
    children = pathlib.Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
    return int(children.split()[1])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_survives_the_end_of_a_worker_and_loses_nothing(tmp_path, number):
    run = Workdir(tmp_path / "run")
    launcher = start(*TWO_WORKERS, "--config.train.epochs=100000", f"--workdir={run}")
    line = ""
    while "bits_per_dim" not in line:
        line = launcher.stdout.readline()
        assert line, launcher.communicate()
    os.kill(second_worker(launcher), number)
    _, errors = launcher.communicate(timeout=180)
    (line,) = [line for line in errors.splitlines() if "last good" in line or "; saved " in line]
    assert str(checkpoints.newest(run)) in line and "the same command resumes from there" in line
    assert "Traceback" not in errors
    if number == signal.SIGTERM:  # after the same step
        assert "stopped by SIGTERM, which another worker received; saved " in line
        assert launcher.returncode == 128 + number
        return
    assert launcher.returncode == 75 and "another worker ended or can't be reached" in line

    # The same command goes on, on both, to the end of an epoch not far off.
    epochs = len(pd.read_csv(run / "metrics.csv")) + 1
    done = call(*TWO_WORKERS, f"--config.train.epochs={epochs}", f"--workdir={run}")
    assert done.returncode == 0, done.stderr  # the workers have compared their weights
    assert "resuming after epoch" in done.stdout

    # A run on one device that nothing happened to learned the same.
    config = configs.load("digits", [*SMALL.items(), ("train.epochs", str(epochs))])
    train(config, tmp_path / "one")
    names = ["epoch", "loss", "val_loss", "nats_per_dim", "val_nats_per_dim"]
    found, expected = (pd.read_csv(path / "metrics.csv") for path in (run, tmp_path / "one"))
    # Float32 sums in another order, which 10 steps of Adam an epoch amplify; measured 3e-7.
    np.testing.assert_allclose(found[names], expected[names], atol=1e-5)
    assert np.all(np.isfinite(run.load_model().distribution.sample([3], seed=0)))


@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_that_never_comes_is_waited_for_in_bounded_time(tmp_path, index):
    addresses = ["127.0.0.1:28371", "127.0.0.1:28372"]
    task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    command = [sys.executable, *PROGRAM, f"--workdir={tmp_path / 'run'}"]
    done = subprocess.run(
        [*command, "--strategy=multi_worker", "--wait=5"],
        cwd=ROOT,
        env={**os.environ, "TF_CONFIG": json.dumps(task), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "waiting for 2 workers, at most 5 s" in done.stdout
    # TensorFlow's own first worker waits without a limit; its end is abrupt.
    expected = [(1, "Timeout (0:00:15)!"), (75, "another worker ended or can't be reached")]
    status, message = expected[index]
    assert done.returncode == status and message in done.stderr
    assert not (tmp_path / "run").exists()
