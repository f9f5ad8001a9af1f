"""Publishing a model where a server may look at any moment: whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
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
from tfp_cinn.workdir import sha256

__all__ = ["CHECKSUMS", "choose_version", "publishing", "verify", "write_checksums"]

CHECKSUMS = "SHA256SUMS"


def choose_version(models: pathlib.Path, version: int | None) -> int:
    """Returns the version to publish: the one given, or the one after the highest there.

    Args:
        models: folder of the model's versions, whose name is the model's.
        version: the version wanted, if any.

    Raises:
        UsageError: if the name isn't one to serve by, or the version exists already or is no
            version number.
    """
    # A folder of digits would be a version of its parent to a server; a URL has no room for others.
    if not re.fullmatch(r"(?!\d+$)[\w.-]+", models.name, re.ASCII):
        raise UsageError(
            f"{models}: expected a folder MODELS/NAME, with a name of letters, digits, '_', '-' "
            "and '.', not of digits alone; give the version apart"
        )
    if models.exists() and not models.is_dir():
        raise UsageError(f"{models}: expected a folder of versions, it is a file")
    try:
        there = {_number(child.name) for child in models.iterdir()} if models.exists() else set()
    except OSError as error:
        raise UsageError(f"{models}: can't be read ({error.strerror})") from None
    there.discard(None)
    if version is None:
        return max(there, default=0) + 1
    if not 0 < version < 2**63:
        raise UsageError(f"version: expected a whole number from 1, got {version}")
    if version in there:
        raise UsageError(
            f"{models / str(version)}: this version exists already and is kept; give another, the "
            f"next is {max(there) + 1}"
        )
    return version


def _number(name: str) -> int | None:
    """The version that a server takes a folder's name for: '007' is 7 to it."""
    return int(name) if name.isdecimal() and name.isascii() else None


@contextlib.contextmanager
def publishing(models: pathlib.Path, version: int) -> Iterator[pathlib.Path]:
    """Context that yields a scratch folder and renames it to `models/version` at the end.

    The scratch folder lies beside the target under a name that servers pass over. Everything is
    written through to the disk before the rename. Whatever goes wrong, or interrupts, nothing
    stays behind: not the scratch folder, nor the folders made for it.

    Args:
        models: folder of the model's versions; made if it isn't there.
        version: of the model.

    Raises:
        UsageError: if something can't be written, or the version appeared in the meantime.
    """
    target = models / str(version)
    scratch = models / f".{version}-{uuid.uuid4().hex[:8]}.tmp"
    made = [folder for folder in (models, *models.parents) if not folder.exists()]
    published = False
    try:
        scratch.mkdir(parents=True)
        yield scratch
        for place in sorted(scratch.rglob("*")):
            _write_through(place)
        _write_through(scratch)
        os.rename(scratch, target)  # refuses if there is something
        published = True
        _write_through(models)
    except (OSError, tf.errors.OpError) as error:
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


def _reason(error: OSError | tf.errors.OpError) -> str:
    """What went wrong, without TensorFlow's account of where."""
    text = getattr(error, "strerror", None) or str(error)
    known = (os.strerror(n) for n in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES))
    return next((each for each in known if each in text), " ".join(text.split())[:300])


def _write_through(place: pathlib.Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_checksums(path: pathlib.Path) -> None:
    """Writes `SHA256SUMS` of all files of a model, in the form of the program `sha256sum`."""
    (path / CHECKSUMS).write_text(
        "".join(f"{sha256(file)}  {name}\n" for name, file in _files(path).items())
    )


def _files(path: pathlib.Path) -> dict[str, pathlib.Path]:
    return {
        str(file.relative_to(path)): file
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != CHECKSUMS
    }


def verify(path: str | os.PathLike) -> dict[str, Any]:
    """Makes sure that an exported model is whole and can be served.

    Every file has to have the checksum it was published with; then a fresh process that never
    imports TensorFlow loads the model through the C++ session loader and replays its warm-up
    records, whose answers have to be what the model gave in Python.

    Args:
        path: the folder of a version.

    Returns:
        What `session.replay` returns.

    Raises:
        UsageError: if something is missing, damaged or foreign.
    """
    path = pathlib.Path(path)
    try:
        lines = (path / CHECKSUMS).read_text().splitlines()
        listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
        files = _files(path)
        for name in sorted(listed.keys() | files.keys()):
            if name not in files:
                raise UsageError(f"{path}: {name} is missing; export the model again")
            if name not in listed:
                raise UsageError(f"{path}: {name} doesn't belong to the model; take it away")
            if sha256(files[name]) != listed[name]:
                raise UsageError(f"{path}: {name} is damaged; export the model again")
    except (OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path}: not an exported model ({error})") from None
    replay = subprocess.run(
        [sys.executable, session.__file__, str(path)],
        # Without a GPU, whose memory this process may hold.
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
    )
    answer = replay.stdout.strip().rpartition("\n")[2]
    if replay.returncode:
        reason = answer or f"the loader died with status {replay.returncode}"
        raise UsageError(f"{path}: can't be served: {reason}")
    return json.loads(answer)
