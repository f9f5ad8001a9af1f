"""What clients of a server have in common, whatever the protocol: arguments and failures."""

from __future__ import annotations

import abc
import re
from typing import NamedTuple

from tfp_cinn.client.base import Client
from tfp_cinn.errors import UsageError

__all__ = ["ATTEMPTS", "ServerClient", "VersionStatus"]

ATTEMPTS = 5  # gRPC makes no more

# What libraries say when there is no connection, and what that means for the user.
_REASONS = (
    (
        "certificate_verify_failed|peer certificate",
        "its certificate isn't trusted; name the authority's file in the environment variable "
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH (gRPC) or REQUESTS_CA_BUNDLE (REST)",
    ),
    ("wrong_version_number|handshake", "it speaks no TLS; ask without"),
    ("connection refused", "connection refused; check the address, and that the server runs"),
    (
        "resol|failed to parse|invalid label",
        "the name can't be resolved; check the address",
    ),
    (
        "http1|http/1|parsing http/2",
        "it speaks HTTP, not gRPC; check the port, which is usually 8500 for gRPC and 8501 for "
        "REST, and that no proxy is between",
    ),
    (
        "badstatusline",
        "it speaks another protocol than HTTP; check the port, which is usually 8501 for REST and "
        "8500 for gRPC",
    ),
    (
        "socket closed|disconnected|reset by peer|broken pipe|aborted",
        "it closes the connection; check that it speaks this protocol on this port, and whether it "
        "wants TLS",
    ),
)


class VersionStatus(NamedTuple):
    """A version of a model as its server sees it.

    Attributes:
        version: its number.
        state: `AVAILABLE` if it is served.
        error: why it can't be.
    """

    version: int
    state: str
    error: str


class ServerClient(Client):
    """Asks a server; see `tfp_cinn.client.connect` for the arguments."""

    def __init__(
        self,
        server: str,
        model: str,
        version: int | None,
        label: str | None,
        timeout: float,
        max_message_mb: int,
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
        if not 0 < max_message_mb < 2048:
            raise UsageError(f"max_message_mb: expected 1 to 2047, got {max_message_mb:g}")
        self._server = server
        self._model = model
        self._version = version
        self._label = label
        self._timeout = timeout
        self._max_bytes = int(max_message_mb * 2**20)
        self._tls = tls
        # The first pause; four that double, each up to a fifth longer, end before the timeout,
        # so that the reason is said and not that time is up.
        self._pause = min(0.2, timeout / 25)

    def __str__(self) -> str:
        return f"{self._server}, model {self._model!r}"

    @abc.abstractmethod
    def _versions(self) -> list[VersionStatus]:
        """The model's versions as the server tells them, none if it doesn't know the model.

        Raises:
            UsageError: if the server doesn't tell.
        """

    def _failure(self, code: str, message: str) -> UsageError:
        """The line for a request that failed.

        Args:
            code: gRPC's name of the status.
            message: what the server or the library says.
        """
        low = message.lower()
        server = self._server
        if code == "NOT_FOUND":
            return self._not_found(message)
        if code == "DEADLINE_EXCEEDED":
            return UsageError(
                f"{server}: no answer in time ({self._timeout:g} s); check the address, or give a "
                "longer timeout to a server that is busy"
            )
        if "message larger than max" in low:
            return self._too_large(message)
        if code == "RESOURCE_EXHAUSTED" or ("queue" in low and "full" in low):
            return UsageError(
                f"{server}: the server is overloaded ({_cut(message)}); ask again later, or from "
                "fewer clients"
            )
        if self._label is not None and re.search("version.label", low):
            return UsageError(f"{self}: no version has the label {self._label!r}; give another")
        if "signature" in low and "not found" in low:
            return UsageError(
                f"{self}: wasn't exported by this package ({_cut(message)}); export a model with "
                "bin/export.py"
            )
        if code == "UNIMPLEMENTED" or re.search("http2 header|content-type", low):
            return self._foreign(message)
        if code == "UNAVAILABLE":
            return self._away(message)
        return UsageError(f"{self}: the server can't answer ({code}: {_cut(message)})")

    def _away(self, message: str) -> UsageError:
        for pattern, reason in _REASONS:
            if re.search(pattern, message, re.I):
                return UsageError(f"{self._server}: no server answers here: {reason}")
        return UsageError(
            f"{self._server}: not available ({_cut(message)}); check the address, and that the "
            "server is well"
        )

    def _foreign(self, message: str) -> UsageError:
        return UsageError(
            f"{self._server}: something else than TensorFlow Serving answers ({_cut(message)}); "
            "check the address, and that no proxy is between"
        )

    def _too_large(self, message: str) -> UsageError:
        return UsageError(
            f"{self._server}: a message is too large ({_cut(message)}); raise max_message_mb, "
            f"{self._max_bytes / 2**20:.3g} now, or the limit of the server, or ask for fewer rows"
        )

    def _not_found(self, message: str) -> UsageError:
        try:
            versions = self._versions()
        except UsageError:
            return UsageError(f"{self}: not served ({_cut(message)}); check model and version")
        if not versions:
            return UsageError(
                f"{self._server}: knows no model {self._model!r}; check the name, and the models "
                "that the server is configured for"
            )
        wanted = [v for v in versions if self._version in (None, v.version)]
        if wanted:
            newest = max(wanted)
            return UsageError(
                f"{self}: version {newest.version} isn't served, its state is {newest.state} "
                f"({_cut(newest.error) or 'no error'}); look at the server's log"
            )
        served = sorted(v.version for v in versions if v.state == "AVAILABLE")
        return UsageError(
            f"{self}: has no version {self._version}, expected one of "
            f"{', '.join(map(str, served)) or 'none at the moment'}"
        )


def _cut(message: str, length: int = 300) -> str:
    message = " ".join(message.split())
    return message if len(message) <= length else message[:length] + "..."
