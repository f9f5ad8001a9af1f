"""Start a program: read its flags, run it, and turn errors into one line."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["fail", "run"]

_OUT_OF_MEMORY = {"MemoryError", "_ArrayMemoryError", "ResourceExhaustedError"}


def run(main: Callable[[Any], None], flag_values=None, description: str | None = None) -> None:
    """Parse a program's flags and run its `main`.

    A `UsageError` ends in one line on standard error and exit status 2, not in a traceback. SIGINT
    and SIGTERM unwind alike, during imports too, so that scratch files are removed, and end in one
    line and exit status 128 plus the signal's number.

    Args:
        main: takes the values of `Flags` by name, or the positional arguments, which are none.
        flag_values: a `tfp_cinn.cli.flags.Flags`; absl's global flags if None.
        description: what --help shows above the flags; the docstring of the script if None.
    """
    received = []

    def stop(number, frame):
        received.append(number)
        if len(received) == 1:  # a second one doesn't keep scratch files from going
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        from tfp_cinn.cli import flags
        from tfp_cinn.errors import UsageError

        try:
            main(flags.parse(sys.argv, flag_values, description))
        except UsageError as error:
            fail(" ".join(str(error).split()), status=getattr(error, "status", 2))
        except Exception as error:
            # TensorFlow's is told by name, as it may not be imported.
            if type(error).__name__ not in _OUT_OF_MEMORY:
                raise
            fail(f"out of memory ({' '.join(str(error).split())[:200]}); ask for less at once")
    except BaseException as error:
        # Libraries wrap an interruption that comes while they call back, as AutoGraph does.
        if not received and not isinstance(error, KeyboardInterrupt):
            raise
        number = received[0] if received else signal.SIGINT
        message = str(error) if isinstance(error, KeyboardInterrupt) else ""
        name = signal.Signals(number).name
        fail(message or f"stopped by {name}", status=getattr(error, "status", 128 + number))


def fail(message: str, program: str | None = None, status: int = 2) -> NoReturn:
    """End the program with one line on standard error."""
    message = message.encode(errors="backslashreplace").decode()
    print(f"{program or sys.argv[0]}: {message}", file=sys.stderr)
    sys.exit(status)
