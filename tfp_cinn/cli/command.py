"""The console command `tfp-cinn VERB`; `bin/VERB.py` runs the same programs."""

from __future__ import annotations

import importlib
import sys

from tfp_cinn.cli import app

__all__ = ["main", "run"]

_VERBS = (
    "train",
    "evaluate",
    "sample",
    "explore",
    "export",
    "client",
    "pretrain",
    "import-freia",
    "export-freia",
)


def main() -> None:
    """Run the program that the first argument names."""
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb in ("--help", "-h", "--helpshort", "--helpfull"):
        print("tfp-cinn VERB [FLAGS], or tfp-cinn VERB --help\n")
        for each in _VERBS:
            print(f"  {each:13} {_module(each).__doc__.splitlines()[0]}")
    elif verb not in _VERBS:
        app.fail(f"expected one of {', '.join(_VERBS)}, got {verb!r}", "tfp-cinn")
    else:
        sys.argv[:2] = [f"tfp-cinn {verb}"]
        run(verb)


def run(verb: str) -> None:
    """Run a program with the flags of `sys.argv`."""
    module = _module(verb)
    app.run(lambda _: module.main(**module.FLAGS.values()), module.FLAGS, module.__doc__)


def _module(verb: str):
    return importlib.import_module(f"tfp_cinn.cli.{verb.replace('-', '_')}")
