"""The flag --config: a file or a shipped config, and overrides of its fields."""

from __future__ import annotations

import ast
import difflib
import pathlib
import re
from typing import Any

import ml_collections

from tfp_cinn.cli import user_code
from tfp_cinn.configs import as_dict, default_config
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


def load(name: str, overrides: list[tuple[str, str]]) -> dict[str, Any]:
    """Return a config as nested dicts.

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
    return as_dict(config)


def help(name: str | None) -> str:
    """Return the fields of a config, of the default one if None, as overrides of their values."""
    config = default_config() if name is None else _read(name)
    lines = [f"  --config.{field}={value}" for field, value in _flat(as_dict(config)).items()]
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
    *sections, field = path.split(".")
    section = config
    for each in sections:
        section = section.get(each) if isinstance(section, ml_collections.ConfigDict) else None
    names = [*_flat(config)]
    if sections == ["model"] and field not in section:
        from tfp_cinn.architectures import arguments

        extra = arguments(section.get("architecture"))
        names += [f"model.{name}" for name in extra if name not in section]
        if field in extra:
            with section.unlocked():
                section[field] = extra[field]
    if not isinstance(section, ml_collections.ConfigDict) or field not in section:
        near = difflib.get_close_matches(path, names, 1)
        within = [name for name in names if name.startswith(".".join([*sections, ""]))]
        among = ", ".join(within or names)
        hint = f"did you mean --config.{near[0]}?" if near else f"expected one of {among}"
        raise UsageError(f"--config.{path}: no such field; {hint}")
    kind = section.get_type(field)
    if isinstance(section[field], ml_collections.ConfigDict):
        raise UsageError(f"--config.{path}: is a section; override its fields, one by one")
    value = _value(text, kind)
    try:
        section[field] = value
    except TypeError:
        raise UsageError(
            f"--config.{path}: expected {_EXPECTED.get(kind, kind.__name__)}, got {text!r}"
        ) from None


def _value(text: str, kind: type) -> Any:
    if kind is str and text != "None":
        return text
    try:
        value = ast.literal_eval(text.capitalize() if text in ("true", "false") else text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return text
    return (value,) if kind is tuple and not isinstance(value, (tuple, list, type(None))) else value


def _flat(config: Any, prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name in config:
        value = config[name]
        if isinstance(value, (dict, ml_collections.ConfigDict)):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
