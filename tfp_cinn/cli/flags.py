"""The flags of the programs: absl's, with paths, a config, and errors of one line."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from absl import flags, logging

from tfp_cinn import files
from tfp_cinn.cli import configs, user_code
from tfp_cinn.errors import UsageError

__all__ = ["Flags", "parse"]

_HELP = {"--help", "-help", "-h", "--helpshort", "--helpfull"}


class _Path(flags.ArgumentParser):
    syntactic_help = "a path; ~ is the home folder"

    def parse(self, argument: str) -> str:
        return str(files.user_path(argument))


class Flags(flags.FlagValues):
    """The flags of one program.

    `values` returns them for its `main`; it imports `--module` and loads `--config`.
    """

    def __init__(self):
        super().__init__()
        self.__dict__["overrides"] = []
        self.string("module", "A module or .py file of your own to import first, with your tasks.")

    def string(self, name: str, help: str, default: str | None = None, **options: Any) -> None:
        """Define a flag of text."""
        flags.DEFINE_string(name, default, help, flag_values=self, **options)

    def path(self, name: str, help: str, **options: Any) -> None:
        """Define a flag of a file or folder."""
        flags.DEFINE(_Path(), name, None, help, flag_values=self, **options)

    def integer(self, name: str, help: str, default: int | None = None, **options: Any) -> None:
        """Define a flag of a whole number."""
        flags.DEFINE_integer(name, default, help, flag_values=self, **options)

    def number(self, name: str, help: str, default: float | None = None, **options: Any) -> None:
        """Define a flag of a number."""
        flags.DEFINE_float(name, default, help, flag_values=self, **options)

    def boolean(self, name: str, help: str, default: bool | None = None) -> None:
        """Define a flag that is on or off."""
        flags.DEFINE_bool(name, default, help, flag_values=self)

    def list(self, name: str, help: str) -> None:
        """Define a flag of texts between commas."""
        flags.DEFINE_list(name, None, help, flag_values=self)

    def config(self) -> None:
        """Define `--config`, a shipped config's name or a file, and its overrides."""
        self.string(
            "config",
            "The experiment: a file, or one of " + ", ".join(configs.shipped()) + ". Each field "
            "can be overridden, as by --config.train.epochs=3.",
            required=True,
        )

    def values(self) -> dict[str, Any]:
        """Return what was given, by name, with the config as nested dicts."""
        given = self.flag_values_dict()
        if module := given.pop("module"):
            user_code.import_module(module)
        # Photographs, among conditions.
        lists = {name: value for name, value in given.items() if isinstance(value, list)}
        given |= {name: [*map(os.path.expanduser, value)] for name, value in lists.items()}
        if "config" in given:
            given["config"] = configs.load(given["config"], self.overrides)
        return given


def parse(argv: list[str], values: flags.FlagValues | None, description: str | None) -> list[str]:
    """Parse a command line into flags; print help and exit where it is asked for.

    Args:
        argv: the program and its arguments.
        values: of the program; absl's global flags if None.
        description: shown by --help; the docstring of the script if None.

    Returns:
        The program's name alone.

    Raises:
        UsageError: names the flag at fault.
    """
    values = flags.FLAGS if values is None else values
    argv = values.read_flags_from_files(argv, force_gnu=False)
    if isinstance(values, Flags) and "config" in values:
        argv, values.__dict__["overrides"] = configs.split(argv)
    if _HELP & set(argv):
        print(description or sys.modules["__main__"].__doc__)
        print(values.get_help() if isinstance(values, Flags) else values.main_module_help())
        if isinstance(values, Flags) and "config" in values:
            named = [arg.partition("=")[2] for arg in argv if arg.lstrip("-").startswith("config=")]
            print(f"\nThe config's fields:\n{configs.help(named[-1] if named else None)}")
        sys.exit(0)
    try:
        argv = values(argv)
    except flags.Error as error:
        missing = re.search(r"Flag (--\w+) must have a value other than None", str(error))
        reason = f"{missing[1]}: expected a value" if missing else error
        raise UsageError(f"{reason} (--help lists the flags)") from None
    logging.use_absl_handler()
    flags.FLAGS.mark_as_parsed()
    if len(argv) > 1:
        raise UsageError(f"unexpected argument {argv[1]!r}; all options are flags (--help)")
    return argv
