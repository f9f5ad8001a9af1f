"""Memory maps larger than memory."""

import subprocess
import sys

import numpy as np
import pytest

ROWS = 10 * 2**30 // (4 * 1024)

PROGRAM = """
import sys
from tfp_cinn.data import arrays
pairs = arrays.read_npy(sys.argv[1])
rows = arrays.Rows(pairs)
arrays.examine(rows.chunks(), pairs)
for x in rows.batches(256, 0, 0).take(300):
    assert x.shape == (256, 1024)
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


def peak(path, rows):
    """Peak of resident memory, KiB, of a process that measures a file and reads batches of it."""
    x = np.lib.format.open_memmap(path, "w+", np.float32, (rows, 1024))
    x[:1000] = np.random.default_rng(0).normal(size=(1000, 1024))
    del x
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=True
    )
    return int(run.stdout.split()[-1])


@pytest.mark.long
def test_resident_memory_does_not_grow_with_the_file(tmp_path):
    small = peak(tmp_path / "small.npy", 2**15)
    large = peak(tmp_path / "large.npy", ROWS)  # sparse: zeros that take no room on the disk
    assert large < 1.2 * small
