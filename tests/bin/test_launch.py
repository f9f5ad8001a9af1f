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
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: sys.exit(128 + number))
with open(os.path.join(sys.argv[1], f"{index}.new"), "w") as file:
    file.write(os.environ["TF_CONFIG"])
os.rename(file.name, file.name.removesuffix(".new"))
print("I am", index, flush=True)
"""


def launch(tmp_path, body):
    script = tmp_path / "worker.py"
    script.write_text(WORKER + body)
    process = subprocess.Popen(
        [sys.executable, "bin/launch.py", "--workers=3", "--", script, tmp_path],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not all((tmp_path / str(k)).exists() for k in range(3)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(
    ("body", "status"),
    [("sys.exit(75 * (index == 2))", 75), ("os.kill(os.getpid(), 9)", 137)],
)
def test_workers_know_each_other_and_a_failure_is_the_launchers(tmp_path, body, status):
    process = launch(tmp_path, body)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "I am 0\n")
    configs = [json.loads((tmp_path / str(k)).read_text()) for k in range(3)]
    assert [config["task"]["index"] for config in configs] == [0, 1, 2]
    assert all(config["cluster"] == configs[0]["cluster"] for config in configs)
    assert len(set(configs[0]["cluster"]["worker"])) == 3


def test_a_signal_goes_to_all_workers(tmp_path, number=signal.SIGINT):
    process = launch(tmp_path, "time.sleep(60)")
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
