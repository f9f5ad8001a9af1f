"""Python files of the user's own: configs, and modules with tasks."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import traceback
from types import ModuleType

from tfp_cinn import files
from tfp_cinn.errors import UsageError

__all__ = ["failure", "import_module", "run_file"]


def import_module(name: str) -> ModuleType:
    """Import a module by name, from the current folder too, or a .py file.

    Raises:
        UsageError: says file, line and reason.
    """
    if name.endswith(".py"):
        return run_file(name, os.path.basename(name)[:-3])
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise UsageError(f"--module={name}: {failure(error)}") from None


def run_file(path: str | os.PathLike, name: str) -> ModuleType:
    """Import a file as the module `name`.

    Raises:
        UsageError: says file, line and reason.
    """
    path = files.user_path(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(failure(error, path)) from None
    return module


def failure(error: Exception, path: str | os.PathLike = "") -> str:
    """Return where and why code of the user's failed, in a line.

    Args:
        error: what it raised.
        path: the file to look for among the calls; the innermost call's if there is none of it.
    """
    if isinstance(error, SyntaxError):
        place = error.filename, error.lineno
        reason = error.msg
    else:
        calls = [(call.filename, call.lineno) for call in traceback.extract_tb(error.__traceback__)]
        calls = [call for call in calls if not call[0].startswith("<")]
        place = [*calls, *(call for call in calls if call[0] == os.path.abspath(path))][-1]
        # ml_collections wraps one error into another, and lists all fields.
        text = error
        while isinstance(text, (AttributeError, KeyError)) and text.args:
            text = text.args[0]
        reason = re.sub(r'Other fields present: ".*?}"', "", " ".join(str(text).split()))
        reason = " ".join(reason.split())
    return f"{place[0]}:{place[1]}: {type(error).__name__}: {reason}"
