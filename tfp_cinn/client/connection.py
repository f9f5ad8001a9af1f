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
    tls: bool = False,
) -> Client:
    """Return a client of a model that a TensorFlow Serving serves.

    Nothing is sent before the first request. A request that the server can't take for the moment
    (it starts, or its queue is full) is made again, four times within about three seconds;
    none changes anything on the server.

    Args:
        server: `host:port`; a server's ports are usually 8500 for gRPC and 8501 for REST.
        protocol: `grpc`, which needs the extra `serving`, or `rest`.
        model: the name it is served by.
        version: the version to ask; the one that the server prefers if None.
        label: the label of the version to ask, such as `canary`, instead of its number.
        timeout: seconds that a request may take; by gRPC with all its attempts, by REST each wait.
        tls: whether the server speaks TLS. Certificates of authorities of one's own are named by
            the environment variables `GRPC_DEFAULT_SSL_ROOTS_FILE_PATH` for gRPC and
            `REQUESTS_CA_BUNDLE` for REST.

    Raises:
        UsageError: if an argument is wrong. The first request says what is wrong with the server.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    return PROTOCOLS[protocol](server, model, version, label, timeout, tls)
