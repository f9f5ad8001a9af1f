"""The flags of the programs: absl's, with paths, a config, and errors of one line."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
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

    Args:
        target: the function that gets them, by its full name.
        help: the help of flags that several programs share, by name.
    """

    def __init__(self, target: str, help: Mapping[str, str] | None = None):
        super().__init__()
        self.__dict__["target"], self.__dict__["_shared_help"] = target, help or {}
        self.string("module", "A module or .py file of your own to import first, with your tasks.")

    def string(self, name: str, help: str | None = None, default: str | None = None) -> None:
        """Define a flag of text."""
        self._define(flags.ArgumentParser(), name, help, default)

    def path(self, name: str, help: str | None = None, required: bool = False) -> None:
        """Define a flag of a file or folder."""
        self._define(_Path(), name, help, None, required=required)

    def integer(
        self, name: str, help: str | None = None, default: int | None = None, **bounds: int
    ) -> None:
        """Define a flag of a whole number."""
        self._define(flags.IntegerParser(**bounds), name, help, default)

    def number(
        self, name: str, help: str | None = None, default: float | None = None, **bounds: float
    ) -> None:
        """Define a flag of a number."""
        self._define(flags.FloatParser(**bounds), name, help, default)

    def boolean(self, name: str, help: str, default: bool | None = None) -> None:
        """Define a flag that is on or off."""
        flags.DEFINE_bool(name, default, help, flag_values=self)

    def list(self, name: str, help: str | None = None) -> None:
        """Define a flag of texts between commas."""
        flags.DEFINE_list(name, None, help or self._shared_help[name], flag_values=self)

    def config(self) -> None:
        """Define `--config`, a shipped config's name or a file, and its overrides."""
        help = (
            f"The experiment: a file, or one of {', '.join(configs.shipped())}. Each field can be "
            "overridden, as by --config.train.epochs=3."
        )
        self._define(flags.ArgumentParser(), "config", help, None, required=True)

    def _define(self, parser, name, help, default, **options):
        help = help or self._shared_help[name]
        flags.DEFINE(parser, name, default, help, flag_values=self, **options)


def parse(argv: list[str], values: flags.FlagValues | None, description: str | None) -> Any:
    """Parse a command line into flags; print help and exit where it is asked for.

    Args:
        argv: the program and its arguments.
        values: `Flags`, or absl's global flags if None.
        description: shown by --help; the docstring of the script if None.

    Returns:
        The values of `Flags` by name, after importing `--module`; `--config` as a ConfigDict. The
        program's name alone for absl's.

    Raises:
        UsageError: names the flag at fault.
    """
    values, ours = flags.FLAGS if values is None else values, isinstance(values, Flags)
    argv, overrides = values.read_flags_from_files(argv, force_gnu=False), []
    if ours and "config" in values:
        argv, overrides = configs.split(argv)
    if _HELP & set(argv):
        print(description or sys.modules["__main__"].__doc__)
        print(values.get_help() if ours else values.main_module_help())
        if ours and "config" in values:
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
    if not ours:
        return argv
    given = values.flag_values_dict()
    if module := given.pop("module"):
        user_code.import_module(module)
    for name, value in given.items():
        if isinstance(value, list):  # photographs, among conditions
            given[name] = [*map(os.path.expanduser, value)]
    if "config" in given:
        given["config"] = configs.load(given["config"], overrides)
    return given
