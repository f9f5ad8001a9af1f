"""Connecting to a server."""

from __future__ import annotations

from tfp_cinn.client.base import Client
from tfp_cinn.client.grpc_client import GrpcClient
from tfp_cinn.client.rest_client import RestClient
from tfp_cinn.errors import UsageError

__all__ = ["PROTOCOLS", "connect"]

PROTOCOLS = {"grpc": GrpcClient, "rest": RestClient}


def connect(
    server: str,
    protocol: str = "grpc",
    *,
    model: str,
    version: int | None = None,
    label: str | None = None,
    timeout: float = 10.0,
    max_message_mb: int = 64,
    tls: bool = False,
) -> Client:
    """Returns a client of a model that a TensorFlow Serving serves.

    Requests that the server can't take for the moment (it starts, or its queue is full) are made
    again until the timeout is over, with pauses that double from 0.2 to 2 s; none changes anything
    on the server. Nothing is sent before the first request.

    Args:
        server: `host:port`; a server's ports are usually 8500 for gRPC and 8501 for REST.
        protocol: `grpc`, which needs the extra `serving`, or `rest`.
        model: the name it is served by.
        version: the version to ask; the one that the server prefers if None.
        label: the label of the version to ask, such as `canary`, instead of its number.
        timeout: seconds that a request may take, with all its attempts, connecting, and asking why
            it failed.
        max_message_mb: the longest request and answer, in MiB.
        tls: whether the server speaks TLS. Certificates of authorities of one's own are named by
            the environment variables `GRPC_DEFAULT_SSL_ROOTS_FILE_PATH` for gRPC and
            `REQUESTS_CA_BUNDLE` for REST.

    Raises:
        UsageError: if an argument doesn't serve. What is wrong with the server is said by the
            first request.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    return PROTOCOLS[protocol](server, model, version, label, timeout, max_message_mb, tls)
