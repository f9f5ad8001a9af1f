"""What clients of a server have in common, whatever the protocol: arguments and failures."""

from __future__ import annotations

import abc
import random
import re
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np

from tfp_cinn.client.base import UNREADABLE, Client, cut
from tfp_cinn.errors import UsageError
from tfp_cinn.export.session import Tensor

__all__ = ["Failure", "ServerClient", "VersionStatus"]

_T = TypeVar("_T")
_FIRST_PAUSE = 0.2  # seconds
_LONGEST_PAUSE = 2.0

# What libraries say when there is no connection, and what that means for the user. What is
# `_LASTING` is no better a moment later.
_LASTING = (
    (
        "certificate_verify_failed|peer certificate",
        "its certificate isn't trusted; name the authority's file in the environment variable "
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH (gRPC) or REQUESTS_CA_BUNDLE (REST)",
    ),
    ("wrong_version_number|handshake", "it speaks no TLS; ask without"),
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
)
_PASSING = (
    ("connection refused", "connection refused; check the address, and that the server runs"),
    (
        "socket closed|disconnected|reset by peer|broken pipe|aborted",
        "it closes the connection; check that it speaks this protocol on this port, and whether it "
        "wants TLS",
    ),
)


class Failure(Exception):
    """A request that failed once.

    Args:
        code: gRPC's name of the status.
        message: what the server or the library says.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def is_passing(self) -> bool:
        """Whether the same request may do a moment later."""
        return self.code == "UNAVAILABLE" and not _reason(_LASTING, self.message)


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
            raise UsageError(f"max_message_mb: expected 1 to 2047, got {max_message_mb}")
        self._server = server
        self._model = model
        self._version = version
        self._label = label
        self._timeout = timeout
        self._max_bytes = int(max_message_mb * 2**20)
        self._tls = tls

    def __str__(self) -> str:
        return f"{self._server}, model {self._model!r}"

    def _ask(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, Tensor]
    ) -> dict[str, np.ndarray]:
        deadline = time.monotonic() + self._timeout
        try:
            exchange = self._exchange(signature, inputs)
            answer = _until(deadline, min(_FIRST_PAUSE, self._timeout / 25), exchange)
        except Failure as failure:
            raise self._said(failure, deadline) from None
        except MemoryError:
            raise UsageError(
                f"{self}: {signature}: too little memory for the request or its answer; ask for "
                "fewer rows"
            ) from None
        try:
            return self._read(answer, outputs)
        except UNREADABLE as error:
            raise UsageError(
                f"{self}: {signature}: the answer can't be read ({cut(repr(error))}); check what "
                "answers there"
            ) from None

    @abc.abstractmethod
    def _exchange(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> Callable[[float], object]:
        """What sends a request, within so many seconds, and gives the answer or raises `Failure`.

        Raises:
            Failure: if the request is too large.
        """

    @abc.abstractmethod
    def _read(self, answer: object, outputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """The outputs in an answer; whatever error it raises says that there are none."""

    @abc.abstractmethod
    def _versions(self, seconds: float) -> list[VersionStatus]:
        """The model's versions as the server tells them, none if it doesn't know the model.

        Raises:
            Failure: if the server doesn't tell within so many seconds.
        """

    def _said(self, failure: Failure, deadline: float) -> UsageError:
        """The line for a request that failed for good."""
        code, message = failure.code, failure.message
        low = message.lower()
        server = self._server
        if code == "NOT_FOUND":
            return self._not_found(message, deadline)
        if code == "DEADLINE_EXCEEDED":
            return UsageError(
                f"{server}: no answer in time ({self._timeout:g} s); check the address, or give a "
                "longer timeout to a server that is busy"
            )
        if code == "TOO_LARGE" or "message larger than max" in low:
            return self._too_large(message)
        if code == "RESOURCE_EXHAUSTED" or ("queue" in low and "full" in low):
            return UsageError(
                f"{server}: the server is overloaded ({cut(message)}); ask again later, or from "
                "fewer clients"
            )
        if self._label is not None and re.search("version.label", low):
            return UsageError(f"{self}: no version has the label {self._label!r}; give another")
        if "signature" in low and "not found" in low:
            return UsageError(
                f"{self}: wasn't exported by this package ({cut(message)}); export a model with "
                "bin/export.py"
            )
        if code in ("FOREIGN", "UNIMPLEMENTED") or re.search("http2 header|content-type", low):
            return self._foreign(message)
        if code == "UNAVAILABLE":
            return self._away(message)
        return UsageError(f"{self}: the server can't answer ({code}: {cut(message)})")

    def _away(self, message: str) -> UsageError:
        reason = _reason(_LASTING + _PASSING, message)
        if reason:
            return UsageError(f"{self._server}: no server answers here: {reason}")
        return UsageError(
            f"{self._server}: not available ({cut(message)}); check the address, and that the "
            "server is well"
        )

    def _foreign(self, message: str) -> UsageError:
        return UsageError(
            f"{self._server}: something else than TensorFlow Serving answers ({cut(message)}); "
            "check the address, and that no proxy is between"
        )

    def _too_large(self, message: str) -> UsageError:
        return UsageError(
            f"{self._server}: a message is too large ({cut(message)}); raise max_message_mb, "
            f"{self._max_bytes / 2**20:.3g} now, or the limit of the server, or ask for fewer rows"
        )

    def _not_found(self, message: str, deadline: float) -> UsageError:
        try:
            versions = self._versions(_left(deadline))
        except Failure:
            return UsageError(f"{self}: not served ({cut(message)}); check model and version")
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
                f"({cut(newest.error) or 'no error'}); look at the server's log"
            )
        served = sorted(v.version for v in versions if v.state == "AVAILABLE")
        return UsageError(
            f"{self}: has no version {self._version}, expected one of "
            f"{', '.join(map(str, served)) or 'none at the moment'}"
        )


def _until(deadline: float, pause: float, attempt: Callable[[float], _T]) -> _T:
    """Makes attempts until one succeeds, fails for good, or no time is left for another.

    None of our requests changes anything on a server, so that each may be made again.

    Args:
        deadline: of `time.monotonic`.
        pause: seconds, the first; it doubles up to two seconds, a fifth more or less at random so
            that many clients don't come back at once.
        attempt: takes the seconds left.

    Raises:
        Failure: the last one that says why.
    """
    last = None
    while True:
        seconds = _left(deadline)
        try:
            return attempt(seconds)
        except Failure as failure:
            # An attempt that was cut short says nothing but that time is up.
            if last and failure.code == "DEADLINE_EXCEEDED" and seconds < pause:
                raise last from None
            wait = pause * random.uniform(0.8, 1.2)
            if not failure.is_passing or wait >= _left(deadline):
                raise
            last = failure
        time.sleep(wait)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 1e-3)


def _reason(reasons: tuple[tuple[str, str], ...], message: str) -> str | None:
    return next((text for pattern, text in reasons if re.search(pattern, message, re.I)), None)
