"""The workers of a run on several machines: their addresses, and waiting until all have started."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Mapping
from typing import NamedTuple

from tfp_cinn.errors import UsageError

__all__ = ["Cluster"]

_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)
_HELLO = b"tfp_cinn worker %d of %d\n"
_START = b"start\n"
_RETRY_SECONDS = 0.2


class Cluster(NamedTuple):
    """The workers of a run, including this process.

    Attributes:
        addresses: host:port of each worker; the first is the chief.
        index: index of this worker.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this worker is the one that writes."""
        return self.index == 0

    def name(self, index: int) -> str:
        """Return the name of a worker for messages."""
        return f"worker {index}{' (the chief)' * (index == 0)} at {self.addresses[index]}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Cluster:
        """Read the environment variable TF_CONFIG in TensorFlow's format.

        A `chief` in it is the first worker.

        Raises:
            UsageError: if it is missing or malformed.
        """
        text = environment.get("TF_CONFIG")
        if not text:
            raise UsageError(
                "TF_CONFIG: --strategy=multi_worker needs this variable to know its workers, such "
                f"as TF_CONFIG='{_EXAMPLE}'; bin/launch.py sets it for workers on one machine"
            )
        try:
            config = json.loads(text)
            jobs, task = config["cluster"], config["task"]
            chiefs, workers = list(jobs.get("chief", [])), list(jobs.get("worker", []))
            others = jobs.keys() - {"chief", "worker"}
            job, index = task["type"], int(task["index"])
            own = {"chief": chiefs, "worker": workers}[job]
            parts = [address.rpartition(":") for address in chiefs + workers]
            well_formed = (
                not others
                and 0 <= index < len(own)
                and len(chiefs) <= 1
                and all(host and port.isdigit() for host, _, port in parts)
                and len(set(chiefs + workers)) == len(parts)
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            well_formed = False
        if not well_formed:
            raise UsageError(
                f"TF_CONFIG: expected different host:port addresses of workers (a chief at most "
                f"one) and the place of this one, as in {_EXAMPLE}, got {text[:300]}"
            )
        return cls(tuple(chiefs + workers), index + (len(chiefs) if job == "worker" else 0))

    def wait_for_all(self, seconds: float) -> None:
        """Wait until all workers have started, at the addresses that TensorFlow will use.

        TensorFlow itself waits forever and ignores signals. Here the others connect to the chief,
        and it answers when the last has connected.

        Args:
            seconds: time to wait.

        Raises:
            UsageError: if a worker is missing after that time, or this worker's port is taken.
        """
        if len(self.addresses) == 1:
            return
        deadline = time.monotonic() + seconds
        if self.is_chief:
            self._gather(deadline, seconds)
        else:
            self._call_chief(deadline, seconds)

    def _gather(self, deadline: float, seconds: float) -> None:
        port = int(self.addresses[0].rpartition(":")[2])
        callers: dict[int, socket.socket] = {}
        with contextlib.ExitStack() as stack:
            try:
                # Not create_server(dualstack_ipv6): a machine may have no IPv6.
                server = stack.enter_context(socket.create_server(("", port), backlog=1024))
            except OSError as error:
                raise UsageError(
                    f"TF_CONFIG: {self.name(0)} can't take its port ({os.strerror(error.errno)}); "
                    "stop what has it, or choose another port"
                ) from None
            while len(callers) + 1 < len(self.addresses):
                server.settimeout(max(0.0, deadline - time.monotonic()) or 1e-3)
                try:
                    caller = stack.enter_context(server.accept()[0])
                    caller.settimeout(5.0)
                    index = self._index_in(_line(caller))
                    caller.setblocking(False)
                except OSError:
                    index = None
                if index is not None:
                    callers[index] = caller
                # A worker that connected and then ended may be restarted.
                callers = {k: caller for k, caller in callers.items() if _is_open(caller)}
                if index is None and time.monotonic() > deadline:
                    missing = [k for k in range(1, len(self.addresses)) if k not in callers]
                    raise UsageError(
                        f"{len(missing)} of {len(self.addresses)} workers did not come within "
                        f"{seconds:g} s, the first of them {self.name(missing[0])}; start them "
                        "all, and see that they reach the chief's port"
                    )
            for caller in callers.values():
                with contextlib.suppress(OSError):
                    caller.sendall(_START)

    def _call_chief(self, deadline: float, seconds: float) -> None:
        host, _, port = self.addresses[0].rpartition(":")
        address = host.strip("[]"), int(port)
        reason = "no answer"
        while (left := deadline - time.monotonic()) > 0:
            try:
                with socket.create_connection(address, min(left, 5.0)) as chief:
                    chief.sendall(_HELLO % (self.index, len(self.addresses)))
                    chief.settimeout(max(left, 1e-3))
                    if _line(chief) == _START:
                        return
                    reason = "it ended, or is no chief of this run"
            except OSError as error:
                reason = error.strerror or "no answer"
            time.sleep(_RETRY_SECONDS)
        raise UsageError(
            f"{self.name(0)} can't be reached from worker {self.index} within {seconds:g} s "
            f"({reason}), or others are missing; start it, and see that its port is open"
        )

    def _index_in(self, hello: bytes) -> int | None:
        for index in range(1, len(self.addresses)):
            if hello == _HELLO % (index, len(self.addresses)):
                return index
        return None


def _is_open(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _line(connection: socket.socket) -> bytes:
    """Receive up to the end of a line or of the connection."""
    line = b""
    while not line.endswith(b"\n") and len(line) < 100 and (part := connection.recv(100)):
        line += part
    return line
