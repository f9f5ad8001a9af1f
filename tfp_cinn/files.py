"""Atomic writing of files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import uuid
from collections.abc import Iterator

from tfp_cinn.errors import UsageError, WriteError

__all__ = ["scratch_files", "sha256", "user_path", "write_through", "writing"]


def user_path(path: str | os.PathLike) -> pathlib.Path:
    """Return a path as a user means it: `~` and `~name` are home folders.

    Raises:
        UsageError: if it is empty, there is no such home, or its name isn't UTF-8, which
            TensorFlow can't open.
    """
    text = os.fspath(path)
    if not text:
        raise UsageError("expected a path, got an empty one; . is the current folder")
    try:
        text.encode()
        return pathlib.Path(text).expanduser()
    except UnicodeEncodeError:
        raise UsageError(f"{text!a}: the name isn't UTF-8; rename it") from None
    except RuntimeError as error:
        raise UsageError(f"{text}: {error}; write the folder out") from None


@contextlib.contextmanager
def writing(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Write a file atomically, in a context that yields a scratch path to write to.

    Args:
        target: the file; its folder is made if it isn't there. What a link points at is written,
            and the link stays.

    Raises:
        WriteError: if it can't be written.
    """
    if target.is_symlink():
        target = pathlib.Path(os.path.realpath(target))
    # The suffix stays last, since writers choose their format by it.
    scratch = target.with_name(f".{uuid.uuid4().hex[:8]}-{target.name}")
    try:
        target.parent.mkdir(exist_ok=True)
        yield scratch
        write_through(scratch)
        os.replace(scratch, target)
        write_through(target.parent)
    except OSError as error:
        raise WriteError(
            f"{target}: can't be written ({error.strerror or error}); the old file is kept"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)


def scratch_files(target: pathlib.Path) -> list[pathlib.Path]:
    """Return the scratch files of `writing`, left by killed processes or in use.

    Args:
        target: the file; its name may be a pattern.
    """
    return [*target.parent.glob(f".????????-{target.name}")]


def write_through(place: pathlib.Path) -> None:
    """Flush a file's content, or a folder's names, to disk."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: pathlib.Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
