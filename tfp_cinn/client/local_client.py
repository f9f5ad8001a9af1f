"""A client without a server."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from tfp_cinn import files
from tfp_cinn.client.base import Client
from tfp_cinn.errors import UsageError
from tfp_cinn.export.publish import versions
from tfp_cinn.export.session import SavedModelSession

__all__ = ["open_local"]


def open_local(folder: str | os.PathLike, version: int | None = None) -> Client:
    """Load an exported model into this process, and return a client of it.

    It answers from the graph, as a server does, and is thread-safe.

    Args:
        folder: the model's versions, `MODELS/NAME`, or the folder of one version.
        version: one of the versions; the newest if None.

    Raises:
        UsageError: if there is no such model, or it can't be loaded.
    """
    folder = files.user_path(folder)
    if (folder / "saved_model.pb").exists():
        if version is not None:
            raise UsageError(
                f"{folder}: is the folder of one version; give no version with it, or the folder "
                "above, MODELS/NAME"
            )
        return _LocalClient(folder)
    try:
        there = versions(folder)
    except OSError as error:
        raise UsageError(
            f"{folder}: expected a folder of exported versions, MODELS/NAME ({error.strerror})"
        ) from None
    if not there:
        raise UsageError(f"{folder}: holds no version; export a model with bin/export.py")
    if version is None:
        version = max(there)
    if version not in there:
        raise UsageError(
            f"{folder}: has no version {version}, expected one of {', '.join(map(str, there))}"
        )
    return _LocalClient(there[version])


class _LocalClient(Client):
    def __init__(self, path: os.PathLike):
        super().__init__()
        self._path = path
        try:
            self._session = SavedModelSession(path)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def __str__(self) -> str:
        return str(self._path)

    def _ask(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return self._session.predict(signature, inputs)
        except ValueError as error:
            raise UsageError(f"{self}: {error}; export the model with bin/export.py") from None

    def close(self) -> None:
        """Free the model."""
        self._session.close()
