"""What the benchmarks measure with: seconds, ratios and memory."""

import pathlib
import re
import subprocess
import sys
import time

import numpy as np


def seconds(call):
    """Seconds until the result of a call is there."""
    start = time.perf_counter()
    np.asarray(call())
    return time.perf_counter() - start


def quartiles(values):
    """First quartile, median and third quartile."""
    return np.percentile(values, [25, 50, 75])


def ratio(first, second):
    """Median ratio of neighbors in time, since the machine's speed drifts."""
    return float(np.median(np.array(first) / np.array(second)))


def memory(which="VmHWM"):
    """Bytes of this process: its largest resident size, or the present one, "VmRSS"."""
    # Not getrusage: its peak survives exec, and would be that of the parent.
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{which}:\s+(\d+) kB", status)[1]) * 1024


def rerun(*arguments):
    """What the running benchmark prints in a process of its own, given these further flags."""
    command = [sys.executable, *sys.argv, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
