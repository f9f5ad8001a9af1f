"""The binaries as a user calls them, each in a process of its own."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]

# This tree, whatever is installed.
_ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
_OPTIONS = {
    "cwd": ROOT,
    "env": _ENVIRONMENT,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.PIPE,
    "text": True,
}


def start(binary, *arguments):
    """Starts a binary; returns its process."""
    return subprocess.Popen(_command(binary, arguments), **_OPTIONS)


def call(binary, *arguments):
    """Runs a binary to its end."""
    return subprocess.run(_command(binary, arguments), timeout=300, **_OPTIONS)


def _command(binary, arguments):
    return [sys.executable, f"bin/{binary}.py", *map(str, arguments)]
