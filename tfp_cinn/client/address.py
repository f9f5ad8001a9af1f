"""The address of a served model, and the errors when it doesn't answer."""

from __future__ import annotations

import dataclasses
import re

from tfp_cinn.client.base import cut
from tfp_cinn.errors import UsageError

__all__ = ["RETRIES", "Address"]

# Within about three seconds, with pauses doubling from 0.2 s.
RETRIES = 4

_PORTS = "the address, the port (usually 8500 for gRPC, 8501 for REST)"
_REFUSED = (
    "the server refuses the request",
    "check the label, and that bin/export.py exported the model",
)

# What happened and what to do, by gRPC's name of the status.
_ADVICE = {
    "DEADLINE_EXCEEDED": ("no answer in time", "check the address, or give a longer timeout"),
    "UNAVAILABLE": (
        "no server answers, or it is overloaded",
        f"check that it runs, {_PORTS}, and whether it wants TLS",
    ),
    "NOT_FOUND": (
        "not served",
        "check the model's name and version against the server's models.config and its log",
    ),
    "RESOURCE_EXHAUSTED": (
        "a message is too large, or the server has no room",
        "ask for fewer rows, or later",
    ),
    "INVALID_ARGUMENT": _REFUSED,
    "FAILED_PRECONDITION": _REFUSED,
}
_FOREIGN = (
    "something else than TensorFlow Serving answers",
    f"check {_PORTS}, and that no proxy is between",
)


@dataclasses.dataclass(frozen=True)
class Address:
    """A model on a server; see `tfp_cinn.client.connect` for the fields and their errors."""

    server: str
    model: str
    version: int | None
    label: str | None
    timeout: float
    tls: bool

    def __post_init__(self):
        match = re.fullmatch(r"(?:[\w.-]+|\[[\w.:%]+\]):(\d{1,5})", self.server)
        if not match or not 0 < int(match[1]) < 2**16:
            raise UsageError(
                f"server: expected host:port, such as localhost:8500, got {self.server!r}"
            )
        if not self.model:
            raise UsageError("model: expected the name that the server knows it by, got none")
        if self.version is not None and self.label is not None:
            raise UsageError("version: expected either a version or a label, got both")
        if self.version is not None and not 0 < self.version < 2**63:
            raise UsageError(f"version: expected a whole number from 1, got {self.version}")
        if not 0 < self.timeout < 1e6:
            raise UsageError(f"timeout: expected seconds, more than 0, got {self.timeout:g}")

    def __str__(self) -> str:
        which = "" if self.version is None else f" version {self.version}"
        which = which if self.label is None else f" label {self.label!r}"
        return f"{self.server}, model {self.model!r}{which}"

    def failed(self, code: str, message: str) -> UsageError:
        """Return the error for a request that failed.

        Args:
            code: gRPC's name of the status.
            message: the message of the server or a library.
        """
        happened, advice = _ADVICE.get(code, _FOREIGN)
        return UsageError(f"{self}: {happened} ({code}: {cut(message)}); {advice}")
