"""The base class of clients of a server: their arguments and error messages."""

from __future__ import annotations

import re

from tfp_cinn.client.base import Client, cut
from tfp_cinn.errors import UsageError

__all__ = ["RETRIES", "ServerClient"]

# Within about three seconds, with pauses doubling from 0.2 s.
RETRIES = 4


class ServerClient(Client):
    """Asks a server; see `tfp_cinn.client.connect` for the arguments."""

    def __init__(
        self,
        server: str,
        model: str,
        version: int | None,
        label: str | None,
        timeout: float,
        tls: bool,
    ):
        super().__init__()
        match = re.fullmatch(r"(?:[\w.-]+|\[[\w.:%]+\]):(\d{1,5})", server)
        if not match or not 0 < int(match[1]) < 2**16:
            raise UsageError(f"server: expected host:port, such as localhost:8500, got {server!r}")
        if not model:
            raise UsageError("model: expected the name that the server knows it by, got none")
        if version is not None and label is not None:
            raise UsageError("version: expected either a version or a label, got both")
        if version is not None and not 0 < version < 2**63:
            raise UsageError(f"version: expected a whole number from 1, got {version}")
        if not 0 < timeout < 1e6:
            raise UsageError(f"timeout: expected seconds, more than 0, got {timeout:g}")
        self._server = server
        self._model = model
        self._version = version
        self._label = label
        self._timeout = timeout
        self._tls = tls

    def __str__(self) -> str:
        which = "" if self._version is None else f" version {self._version}"
        which = which if self._label is None else f" label {self._label!r}"
        return f"{self._server}, model {self._model!r}{which}"

    def _failed(self, code: str, message: str) -> UsageError:
        """Return the error for a request that failed.

        Args:
            code: gRPC's name of the status.
            message: the message of the server or a library.
        """
        said = f"({code}: {cut(message)})"
        if code == "DEADLINE_EXCEEDED":
            return UsageError(
                f"{self}: no answer in time {said}; check the address, or give a timeout longer "
                f"than {self._timeout:g} s"
            )
        if "queue" in message:  # "The batch scheduling queue ... is full", which is UNAVAILABLE
            return UsageError(f"{self}: the server is overloaded {said}; ask again later")
        if code == "UNAVAILABLE":
            return UsageError(
                f"{self}: no server answers {said}; check that it runs, the address, the port "
                "(usually 8500 for gRPC, 8501 for REST), and whether it wants TLS"
            )
        if code == "NOT_FOUND":
            return UsageError(
                f"{self}: not served {said}; check the model's name and version against the "
                "server's models.config and its log"
            )
        if code == "RESOURCE_EXHAUSTED":
            return UsageError(
                f"{self}: a message is too large, or the server has no room {said}; ask for fewer "
                "rows, or later"
            )
        if code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION"):
            return UsageError(
                f"{self}: the server refuses the request {said}; check the label, and that "
                "bin/export.py exported the model"
            )
        return UsageError(
            f"{self}: something else than TensorFlow Serving answers {said}; check the address, "
            "the port (usually 8500 for gRPC, 8501 for REST), and that no proxy is between"
        )
