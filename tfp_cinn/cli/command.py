"""The console command `tfp-cinn VERB`; `bin/VERB.py` runs the same functions."""

from __future__ import annotations

import importlib
import inspect
import sys

from tfp_cinn.cli import app
from tfp_cinn.cli.verbs import VERBS

__all__ = ["main", "run"]


def main() -> None:
    """Run the verb that the first argument names."""
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb in ("--help", "-h", "--helpshort", "--helpfull"):
        print("tfp-cinn VERB [FLAGS], or tfp-cinn VERB --help\n")
        for each, flags in VERBS.items():
            print(f"  {each:13} {flags.__doc__.splitlines()[0]}")
    elif verb not in VERBS:
        app.fail(f"expected one of {', '.join(VERBS)}, got {verb!r}", "tfp-cinn")
    else:
        sys.argv[:2] = [f"tfp-cinn {verb}"]
        run(verb)


def run(verb: str) -> None:
    """Call the function of a verb with the flags of `sys.argv`."""
    flags = VERBS[verb]()
    package, _, function = flags.target.rpartition(".")

    def main(given):
        getattr(importlib.import_module(package), function)(**given)

    app.run(main, flags, inspect.getdoc(VERBS[verb]))
