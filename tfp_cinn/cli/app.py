"""How the binaries start and how they fail."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable

import ml_collections
from absl import app

from tfp_cinn.errors import UsageError

__all__ = ["checked_config", "run"]


def run(main: Callable[[list[str]], None]) -> None:
    """Runs a binary's `main` under absl.

    What the user can put right is answered by one line on standard error and exit status 2, not by
    a traceback. SIGINT and SIGTERM unwind alike, so that scratch files are taken away, and end in
    one line and exit status 128 plus the signal's number.

    Args:
        main: takes the positional arguments, of which there should be none.
    """

    def guarded(argv: list[str]) -> None:
        stop = _Stop()
        try:
            if len(argv) > 1:
                raise UsageError(f"unexpected argument {argv[1]!r}; all options are flags (--help)")
            main(argv)
        except UsageError as error:
            _fail(" ".join(str(error).split()), getattr(error, "status", 2))
        except BaseException as error:
            # Libraries wrap an interruption that comes while they call back, as AutoGraph does.
            if stop.number is None and not isinstance(error, KeyboardInterrupt):
                raise
            number = stop.number or signal.SIGINT
            message = str(error) if isinstance(error, KeyboardInterrupt) else ""
            name = signal.Signals(number).name
            _fail(message or f"stopped by {name}", getattr(error, "status", 128 + number))

    app.run(guarded, flags_parser=_parse)


def checked_config(config: ml_collections.ConfigDict | None) -> dict:
    """Returns the value of a config flag as nested dicts, with None for unset fields.

    Raises:
        UsageError: if the flag is missing or its file couldn't be loaded.
    """
    if config is None:
        raise UsageError("--config: expected a config file, such as configs/digits.py")
    if not isinstance(config, ml_collections.ConfigDict):
        # ml_collections keeps the error of a config file until a field is asked for.
        try:
            config.train  # noqa: B018
        except Exception as error:
            raise UsageError(f"--config: the file can't be loaded ({error})") from None
    return config.to_dict(preserve_field_references=False)


class _Stop:
    """Turns SIGINT and SIGTERM into KeyboardInterrupt.

    Attributes:
        number: the signal that came, None if none did.
    """

    # A second signal so soon after the first means the same; the scratch files shall go still.
    _PATIENCE = 5.0  # seconds

    def __init__(self):
        self.number: int | None = None
        self._came = 0.0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, number, frame):
        if self.number is not None and time.monotonic() - self._came < self._PATIENCE:
            return
        self.number, self._came = number, time.monotonic()
        raise KeyboardInterrupt


def _parse(argv: list[str]) -> list[str]:
    try:
        return app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        overrides = [a for a in argv if a.startswith(("--config.", "-config."))]
        unknown = str(error).strip("\"'").split("'")[0]
        guilty = next((a for a in overrides if unknown in a), " ".join(overrides))
        _fail(
            f"unknown or unsuitable config field in {guilty}; the fields stand in the config file"
        )
    return []


def _fail(message: str, status: int = 2) -> None:
    print(f"{sys.argv[0]}: {message}", file=sys.stderr)
    sys.exit(status)
