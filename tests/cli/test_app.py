import signal
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import os, signal, sys, time
from tfp_cinn.cli import app

def stop(number):
    os.kill(os.getpid(), number)
    time.sleep(1)

def main(_):
    {body}

app.run(main)
"""


def run(body):
    program = PROGRAM.format(body=textwrap.indent(body, "    ").lstrip())
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr.splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_in_one_line_after_clearing_up(number):
    status, output, errors = run(f"""\
try:
    stop({number:d})
finally:
    stop({signal.SIGINT:d})  # impatience doesn't keep scratch files from going
    print("cleared up")
""")
    assert (status, output) == (128 + number, "cleared up\n")
    assert errors[-1] == f"-c: stopped by {number.name}"
    assert not any("Traceback" in line for line in errors)


def test_a_library_that_wraps_the_interruption_hides_nothing():
    status, _, errors = run(f"""\
try:
    stop({signal.SIGTERM:d})
except KeyboardInterrupt:
    raise RuntimeError("in user code") from None
""")
    assert (status, errors[-1]) == (143, "-c: stopped by SIGTERM")
    assert not any("Traceback" in line for line in errors)


def test_other_errors_keep_their_traceback():
    status, _, errors = run('raise RuntimeError("a mistake")')
    assert (status, errors[-1]) == (1, "RuntimeError: a mistake")
    assert any("Traceback" in line for line in errors)
