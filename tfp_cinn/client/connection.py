"""Connecting to a server."""

from __future__ import annotations

from tfp_cinn.client.address import Address
from tfp_cinn.client.base import Client
from tfp_cinn.client.grpc_client import GrpcClient
from tfp_cinn.client.rest_client import RestClient
from tfp_cinn.errors import UsageError

__all__ = ["connect"]

_PROTOCOLS = {"grpc": GrpcClient, "rest": RestClient}


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
    """Return a client of a model on TensorFlow Serving.

    Nothing is sent before the first request. If the server is temporarily unavailable (it is
    starting, or its queue is full), a request is retried four times within about three seconds; no
    request changes anything on the server.

    Args:
        server: `host:port`; a server's ports are usually 8500 for gRPC and 8501 for REST.
        protocol: `grpc` or `rest`.
        model: the name it is served by.
        version: the version to ask; the server's default if None.
        label: the label of the version to ask, such as `canary`, instead of its number.
        timeout: time limit of a request, seconds; for gRPC of all attempts, for REST of each wait.
        tls: whether the server uses TLS. Name your own certificate authorities in the environment
            variables `GRPC_DEFAULT_SSL_ROOTS_FILE_PATH` for gRPC and `REQUESTS_CA_BUNDLE` for REST.

    Raises:
        UsageError: if an argument is wrong. Server problems show up at the first request.
    """
    if protocol not in _PROTOCOLS:
        raise UsageError(f"protocol: expected one of {', '.join(_PROTOCOLS)}, got {protocol!r}")
    return _PROTOCOLS[protocol](Address(server, model, version, label, timeout, tls))
