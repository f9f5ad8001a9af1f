"""Atomic publishing of a model into a folder that a server watches."""

from __future__ import annotations

import contextlib
import json
import numbers
import os
import pathlib
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tfp_cinn.errors import UsageError
from tfp_cinn.export import session
from tfp_cinn.files import write_through

__all__ = ["choose_version", "publishing", "verify", "versions"]

_LAST = 2**63 - 1


def versions(models: pathlib.Path) -> dict[int, pathlib.Path]:
    """Return the versions that a server sees in a folder, sorted.

    A server takes every name that is a 63-bit number for a version ('007' for 7), and ignores
    everything else.

    Raises:
        OSError: if the folder can't be read.
    """
    found = {
        int(child.name): child
        for child in models.iterdir()
        if child.name.isascii() and child.name.isdecimal()
    }
    return {number: found[number] for number in sorted(found) if number <= _LAST}


def choose_version(models: pathlib.Path, version: int | None) -> int:
    """Return the version to publish: the given one, or the highest existing one plus 1.

    Args:
        models: folder of the model's versions, whose name is the model's.
        version: the version wanted, if any.

    Raises:
        UsageError: if the folder or its name is unsuitable, or the version is invalid or exists.
    """
    # A server would take a name of digits for a version; other names don't fit into a URL.
    if not re.fullmatch(r"(?!\d+$)[\w.-]+", models.name, re.ASCII):
        raise UsageError(
            f"{models}: expected a folder MODELS/NAME, with a name of letters, digits, '_', '-' "
            "and '.', not of digits alone; give the version separately"
        )
    try:
        there = versions(models) if models.exists() else {}
    except OSError as error:
        raise UsageError(
            f"{models}: expected a folder of versions ({error.strerror}); give another"
        ) from None
    latest = max(there, default=0)
    if version is None:
        version = latest + 1
    if not isinstance(version, numbers.Integral) or not 0 < version <= _LAST:
        raise UsageError(f"version: expected a whole number from 1 to {_LAST}, got {version!r}")
    if version in there:
        raise UsageError(
            f"{models / str(version)}: this version exists already and is kept; give another, the "
            f"next is {latest + 1}"
        )
    return int(version)


@contextlib.contextmanager
def publishing(models: pathlib.Path, version: int) -> Iterator[pathlib.Path]:
    """Yield a scratch folder, and rename it to `models/version` at the end of the context.

    The scratch folder is beside the target under a name that servers ignore. Everything is flushed
    to disk before the rename. On errors and interrupts, nothing stays but folders above `models`.

    Raises:
        UsageError: if something can't be written, the version appeared in the meantime, or the
            block raises one (the target's path then replaces the scratch folder's).
    """
    target = models / str(version)
    scratch = models / f".{version}-{uuid.uuid4().hex[:8]}.tmp"
    made = not models.exists()
    try:
        scratch.mkdir(parents=True)
        yield scratch
        for place in (*scratch.rglob("*"), scratch):
            write_through(place)
        os.rename(scratch, target)  # fails if the target exists
    except UsageError as error:
        text = str(error).replace(str(scratch), str(target))
        raise UsageError(f"{text}; nothing was published") from None
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow names its operation and the file before the reason.
        said = " ".join(str(error).split()).rpartition("; ")[2][:300]
        reason = getattr(error, "strerror", None) or said
        if target.exists():
            reason = "this version exists by now"
        raise UsageError(f"{target}: can't be written ({reason}); nothing was published") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if made:
            with contextlib.suppress(OSError):
                models.rmdir()  # if it is empty
    write_through(models)
    if made:
        write_through(models.parent)


def verify(path: str | os.PathLike) -> dict[str, Any]:
    """Check that a server can load an exported version.

    A fresh process loads it as a server does and replays its warm-up records, whose answers must
    equal those of the model in Python.

    Returns:
        The result of `session.replay`.

    Raises:
        UsageError: if the version can't be served.
    """
    replay = subprocess.run(
        [sys.executable, session.__file__, os.fspath(path)],
        # Without a GPU, whose memory this process may have taken.
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
    )
    answer = replay.stdout.strip().rpartition("\n")[2]
    if replay.returncode == 1 and answer:
        raise UsageError(f"{path}: can't be served: {answer}; export the model again")
    if replay.returncode:
        raise UsageError(
            f"{path}: can't be served: the process that loaded it died (status "
            f"{replay.returncode}); export it with smaller batch sizes if memory ran out"
        )
    return json.loads(answer)
