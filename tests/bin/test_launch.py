"""The launcher, with workers that train nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers.binaries import ROOT

WORKER = """
import json, os, signal, sys, time
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
assert sys.argv[-1] == "--strategy=multi_worker"
def stop(number, frame):
    print("stopped", flush=True)
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
with open(os.path.join(sys.argv[1], str(index)), "w") as file:
    file.write(os.environ["TF_CONFIG"])
print("I am", index, flush=True)
"""


def launch(tmp_path, body, workers=3):
    script = tmp_path / "worker.py"
    script.write_text(WORKER + body)
    process = subprocess.Popen(
        [sys.executable, "bin/launch.py", f"--workers={workers}", "--", script, tmp_path],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not all((tmp_path / str(k)).exists() for k in range(workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def test_workers_know_each_other_and_only_the_chief_is_heard(tmp_path):
    out, errors = launch(tmp_path, "").communicate(timeout=60)
    assert out == "I am 0\n"
    assert errors == ""
    configs = [json.loads((tmp_path / str(k)).read_text()) for k in range(3)]
    assert [config["task"] for config in configs] == [
        {"type": "worker", "index": k} for k in range(3)
    ]
    addresses = configs[0]["cluster"]["worker"]
    assert all(config["cluster"]["worker"] == addresses for config in configs)
    assert len(set(addresses)) == 3


def test_a_worker_that_fails_ends_all_and_is_shown(tmp_path):
    # The others end by themselves, as they do when TensorFlow loses a worker.
    body = """
if index == 1:
    print("out of luck", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(0.5)
sys.exit(75)
"""
    process = launch(tmp_path, body)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 137
    lines = errors.splitlines()
    assert lines == [
        "worker 1: I am 1",
        "worker 1: out of luck",
        "launch.py: worker 1 was ended by SIGKILL; all have ended",
    ]


def test_workers_that_do_not_end_are_ended(tmp_path):
    script = "bin/launch.py"
    text = (ROOT / script).read_text()
    assert "_PATIENCE = 60.0" in text
    patched = tmp_path / "launch.py"
    patched.write_text(text.replace("_PATIENCE = 60.0", "_PATIENCE = 0.3"))
    worker = tmp_path / "worker.py"
    worker.write_text(
        WORKER
        + """
if index == 1:
    sys.exit(3)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(60)
"""
    )
    done = subprocess.run(
        [sys.executable, patched, "--workers=2", "--", worker, tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3
    assert "worker 1 failed with status 3; all have ended" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_goes_to_all_workers(tmp_path, number):
    process = launch(tmp_path, "time.sleep(60)")
    os.kill(process.pid, number)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert out == "I am 0\nstopped\n"
    name = signal.Signals(number).name
    assert errors == f"launch.py: stopped by {name}; all workers have ended\n"
