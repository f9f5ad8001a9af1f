"""How the binaries start and how they fail."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import ml_collections
from absl import app

from tfp_cinn.errors import UsageError

__all__ = ["checked_config", "run"]


def run(main: Callable[[list[str]], None]) -> None:
    """Runs a binary's `main` under absl.

    What the user can put right is answered by one line on standard error and exit status 2, not by
    a traceback. SIGTERM unwinds as Ctrl-C does, so that scratch files are taken away.

    Args:
        main: takes the positional arguments, of which there should be none.
    """

    def guarded(argv: list[str]) -> None:
        signal.signal(signal.SIGTERM, _stop)
        try:
            if len(argv) > 1:
                raise UsageError(f"unexpected argument {argv[1]!r}; all options are flags (--help)")
            main(argv)
        except UsageError as error:
            _fail(" ".join(str(error).split()))
        except KeyboardInterrupt as stop:
            _fail(str(stop) or "interrupted", status=getattr(stop, "status", 130))

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


def _stop(number: int, frame: object) -> None:
    stop = KeyboardInterrupt("stopped by SIGTERM")
    stop.status = 128 + number
    raise stop


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
