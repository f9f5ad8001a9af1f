"""The flag --config: a file or a shipped config, and overrides of its fields."""

from __future__ import annotations

import ast
import contextlib
import difflib
import functools
import operator
import pathlib
import re

import ml_collections

from tfp_cinn.cli import user_code
from tfp_cinn.configs import default_config, flat
from tfp_cinn.errors import UsageError

__all__ = ["help", "load", "shipped", "split"]

_FOLDER = pathlib.Path(__file__).parents[1] / "configs"
_OVERRIDE = re.compile(r"--?(no)?config\.([^=]+)(?:=(.*))?", re.DOTALL)
_EXPECTED = {
    bool: "True or False",
    float: "a number",
    int: "a whole number",
    str: "text",
    tuple: "a tuple, such as (1, 2)",
}


def shipped() -> list[str]:
    """Return the names of the configs that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("[!_]*.py"))


def split(argv: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Take the overrides out of a command line.

    Returns:
        The other arguments; and the field and the text of each override.
    """
    rest, overrides, left = [], [], list(argv)
    while left:
        argument = left.pop(0)
        if not (match := _OVERRIDE.fullmatch(argument)):
            rest.append(argument)
            continue
        negated, field, text = match.groups()
        if text is None:
            # As absl has it: `--flag` and `--noflag` of a switch, `--flag VALUE` of any other.
            given = left and not negated and not left[0].startswith("-")
            text = left.pop(0) if given else str(not negated)
        overrides.append((field, text))
    return rest, overrides


def load(name: str, overrides: list[tuple[str, str]]) -> ml_collections.ConfigDict:
    """Return a config.

    Args:
        name: a file, or a shipped config, `digits` or `configs/digits.py`.
        overrides: as `split` returns them.

    Raises:
        UsageError: if the file can't be run, or a field or value is wrong.
    """
    config = _read(name)
    # The arguments that the model may have depend on its architecture.
    for field, text in sorted(overrides, key=lambda each: each[0] != "model.architecture"):
        _override(config, field, text)
    return config


def help(name: str | None) -> str:
    """Return the fields of a config, of the default one if None, as overrides of their values."""
    config = default_config() if name is None else _read(name)
    lines = [f"  --config.{field}={value}" for field, value in flat(config).items()]
    return "\n".join([*lines, "  --config.model.* also takes each argument of the architecture."])


def _read(name: str) -> ml_collections.ConfigDict:
    path = pathlib.Path(name)
    ours = _FOLDER / f"{path.stem}.py"
    if not path.is_file() and name in (path.stem, f"configs/{path.name}") and ours.is_file():
        path = ours
    elif path.suffix != ".py":
        near = difflib.get_close_matches(name, shipped(), 1)
        raise UsageError(
            f"--config: expected a .py file or one of {', '.join(shipped())}, got {name!r}"
            + "".join(f"; did you mean {each}?" for each in near)
        )
    module = user_code.run_file(path, "config_file")
    if not hasattr(module, "get_config"):
        raise UsageError(f"{path}: expected a function get_config() that returns the config")
    try:
        config = module.get_config()
    except Exception as error:
        raise UsageError(user_code.failure(error, path)) from None
    if not isinstance(config, ml_collections.ConfigDict):
        raise UsageError(
            f"{path}: expected get_config() to return a ConfigDict, such as default_config(), "
            f"got {type(config).__name__}"
        )
    return config


def _override(config: ml_collections.ConfigDict, path: str, text: str) -> None:
    fields = flat(config)
    section, _, field = path.rpartition(".")
    if section == "model" and path not in fields:
        from tfp_cinn.architectures import arguments

        defaults = arguments(config.model.get("architecture"))
        if field in defaults:
            with config.unlocked():
                config.model[field] = defaults[field]
        fields = flat(config) | {f"model.{name}": None for name in defaults}
    if path not in fields:
        within = [name for name in fields if name.startswith(f"{path}.")]
        if within:
            raise UsageError(f"--config.{path}: is a section; override its fields, one by one")
        near = difflib.get_close_matches(path, fields, 1)
        among = [name for name in fields if name.startswith(f"{section}.")] or fields
        hint = (
            f"did you mean --config.{near[0]}?" if near else f"expected one of {', '.join(among)}"
        )
        raise UsageError(f"--config.{path}: no such field; {hint}")
    owner = functools.reduce(operator.getitem, section.split("."), config) if section else config
    kind, value = owner.get_type(field), text
    if kind is not str or text == "None":
        with contextlib.suppress(SyntaxError, ValueError, MemoryError, RecursionError):
            value = ast.literal_eval(text.capitalize() if text in ("true", "false") else text)
    if kind is tuple and not isinstance(value, (str, tuple, list, type(None))):
        value = (value,)
    try:
        owner[field] = value
    except TypeError:
        raise UsageError(
            f"--config.{path}: expected {_EXPECTED.get(kind, kind.__name__)}, got {text!r}"
        ) from None
