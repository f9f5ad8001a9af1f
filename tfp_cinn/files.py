"""Atomic writing of files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import uuid
from collections.abc import Iterator

from tfp_cinn.errors import WriteError

__all__ = ["scratch_files", "sha256", "write_through", "writing"]


@contextlib.contextmanager
def writing(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Write a file atomically, in a context that yields a scratch path to write to.

    Args:
        target: the file; its folder is created if needed.

    Raises:
        WriteError: if it can't be written.
    """
    # Keep the suffix last, since writers choose their format by it.
    scratch = target.with_name(f".{uuid.uuid4().hex[:8]}-{target.name}")
    try:
        target.parent.mkdir(exist_ok=True)
        yield scratch
        write_through(scratch)
        os.replace(scratch, target)
        write_through(target.parent)
    except OSError as error:
        raise WriteError(
            f"{target}: can't be written ({error.strerror or error}); what was there is kept"
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
