"""Clients of exported models: of a server by gRPC, or in this process."""

from tfp_cinn.client.base import Client
from tfp_cinn.client.grpc_client import connect
from tfp_cinn.client.local_client import open_local

__all__ = ["Client", "connect", "open_local"]
