"""Files that appear whole or not at all."""

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
    """Context for writing a file whole or not at all: yields a scratch path to write to.

    Args:
        target: the file; its folder is made if it isn't there.

    Raises:
        WriteError: if it can't be written.
    """
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
            f"{target}: can't be written ({error.strerror or error}); what was there is kept"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)


def scratch_files(target: pathlib.Path) -> list[pathlib.Path]:
    """What `writing` left behind where its process was killed, or is writing now.

    Args:
        target: the file; its name may be a pattern.
    """
    return [*target.parent.glob(f".????????-{target.name}")]


def write_through(place: pathlib.Path) -> None:
    """Wait until the disk has a file's content, or a folder's names."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: pathlib.Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
