"""Atomic publishing of a model into a folder that a server watches."""

from __future__ import annotations

import contextlib
import errno
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
from tfp_cinn.files import sha256, write_through

__all__ = [
    "CHECKSUMS",
    "choose_version",
    "publishing",
    "verify",
    "versions",
    "write_checksums",
    "writing_by_tensorflow",
]

CHECKSUMS = "SHA256SUMS"

# Timeout of the replay, far longer than any takes.
_SECONDS = 1800.0

_LAST = 2**63 - 1


def versions(models: pathlib.Path) -> dict[int, pathlib.Path]:
    """Return the versions that a server sees in a folder, sorted.

    A server takes every name that is a 63-bit number for a version ('007' for 7), and ignores
    everything else.

    Args:
        models: folder of a model's versions.

    Raises:
        OSError: if it can't be read.
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
            "and '.', not of digits alone; give the version apart"
        )
    try:
        there = versions(models) if models.exists() else {}
    except NotADirectoryError:
        raise UsageError(
            f"{models}: expected a folder of versions, it is a file; give another name"
        ) from None
    except OSError as error:
        raise UsageError(f"{models}: can't be read ({error.strerror}); give another") from None
    latest = max(there, default=0)
    if version is None:
        version = latest + 1
    if isinstance(version, bool) or not isinstance(version, numbers.Integral):
        raise UsageError(f"version: expected a whole number, got {version!r}")
    if not 0 < version <= _LAST:
        raise UsageError(f"version: expected a whole number from 1 to {_LAST}, got {version}")
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
    to disk before the rename. On errors and interrupts, all created folders are removed.

    Args:
        models: folder of the model's versions; created if needed.
        version: version of the model.

    Raises:
        UsageError: if something can't be written, the version appeared in the meantime, or the
            block raises one (the target's path then replaces the scratch folder's).
    """
    target = models / str(version)
    scratch = models / f".{version}-{uuid.uuid4().hex[:8]}.tmp"
    made: list[pathlib.Path] = []
    published = False
    try:
        made += [folder for folder in (models, *models.parents) if not folder.exists()]
        scratch.mkdir(parents=True)
        yield scratch
        for place in (*sorted(scratch.rglob("*")), scratch, *(folder.parent for folder in made)):
            write_through(place)
        os.rename(scratch, target)  # fails if the target exists
        published = True
        write_through(models)
    except UsageError as error:
        text = str(error).replace(str(scratch), str(target))
        raise UsageError(f"{text}; nothing was published") from None
    except OSError as error:
        if published:
            raise UsageError(
                f"{target}: is published, but the disk may not keep it ({_reason(error)})"
            ) from None
        reason = "this version exists by now" if target.exists() else _reason(error)
        raise UsageError(f"{target}: can't be written ({reason}); nothing was published") from None
    finally:
        if not published:
            shutil.rmtree(scratch, ignore_errors=True)
            for folder in made:
                with contextlib.suppress(OSError):
                    folder.rmdir()


@contextlib.contextmanager
def writing_by_tensorflow() -> Iterator[None]:
    """Convert TensorFlow's errors, which come from the disk, to OSErrors."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(_reason(error)) from None


def _reason(error: OSError | tf.errors.OpError) -> str:
    """Return the reason of an error, without TensorFlow's details."""
    text = getattr(error, "strerror", None) or str(error)
    known = (os.strerror(n) for n in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES))
    return next((each for each in known if each in text), " ".join(text.split())[:300])


def write_checksums(path: pathlib.Path) -> None:
    """Write `SHA256SUMS` of all files of a model, in the form of the program `sha256sum`."""
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    sums = [f"{sha256(file)}  {file.relative_to(path)}\n" for file in files]
    (path / CHECKSUMS).write_text("".join(sums))


def verify(path: str | os.PathLike) -> dict[str, Any]:
    """Check that an exported model is complete and can be served.

    Compares the checksums of all files; then a fresh process loads the model as a server does and
    replays its warm-up records, whose answers must equal those of the model in Python.

    Args:
        path: the folder of a version.

    Returns:
        The result of `session.replay`.

    Raises:
        UsageError: if something is missing or damaged, or the process can't answer.
    """
    path = pathlib.Path(path)
    try:
        for line in (path / CHECKSUMS).read_text().splitlines():
            digest, _, name = line.partition("  ")
            if not (path / name).is_file() or sha256(path / name) != digest:
                raise UsageError(f"{path}: {name} is missing or damaged; export the model again")
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{path}: not an exported model ({error})") from None
    try:
        replay = subprocess.run(
            [sys.executable, session.__file__, str(path)],
            # Without a GPU, whose memory this process may have taken.
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"{path}: its warm-up records aren't answered after {_SECONDS:g} s; export with fewer "
            "or smaller batch sizes"
        ) from None
    answer = replay.stdout.strip().rpartition("\n")[2]
    if replay.returncode == 2:
        raise UsageError(f"{path}: can't be checked: {answer}")
    if replay.returncode == 1 and answer:
        raise UsageError(f"{path}: can't be served: {answer}; export the model again")
    if replay.returncode:
        raise UsageError(
            f"{path}: can't be served: the process that loaded it died (status "
            f"{replay.returncode}); export it with smaller batch sizes if memory ran out"
        )
    return json.loads(answer)
