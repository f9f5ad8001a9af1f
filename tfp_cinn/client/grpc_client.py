"""A client of TensorFlow Serving by gRPC."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tfp_cinn.client.base import Client, cut
from tfp_cinn.errors import UsageError

__all__ = ["connect"]

_MAX_BYTES = 2**31 - 1  # protobuf's limit; gRPC's default is 4 MiB

# No request changes anything on the server, so each may be repeated.
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": "tensorflow.serving.PredictionService"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_OPTIONS = [
    ("grpc.max_send_message_length", _MAX_BYTES),
    ("grpc.max_receive_message_length", _MAX_BYTES),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # By default, requests over 256 KiB aren't retried.
    ("grpc.per_rpc_retry_buffer_size", _MAX_BYTES),
    # Attempts fail immediately while the channel waits to reconnect.
    ("grpc.max_reconnect_backoff_ms", 500),
]

# What to do, by gRPC's name of the status.
_ADVICE = {
    "UNAVAILABLE": "no server answers, or it is overloaded; check that it runs, the address, the "
    "port of gRPC (usually 8500), and whether it wants TLS",
    "DEADLINE_EXCEEDED": "no answer in time; check the address, or give a longer timeout",
    "NOT_FOUND": "not served; check the model's name and version against the server's "
    "models.config and its log",
    "RESOURCE_EXHAUSTED": "a message is too large, or the server has no room; ask for fewer rows",
}
_REFUSED = (
    "the request is refused; check the port of gRPC (usually 8500) and the label, and that "
    "bin/export.py exported the model"
)


def connect(
    server: str,
    *,
    model: str,
    version: int | None = None,
    label: str | None = None,
    timeout: float = 10.0,
    tls: bool = False,
) -> Client:
    """Return a client of a model on TensorFlow Serving, which asks by gRPC.

    Nothing is sent before the first request. If the server is temporarily unavailable (it is
    starting, or its queue is full), a request is retried four times within about three seconds.

    Args:
        server: `host:port`; the port of gRPC is usually 8500.
        model: the name it is served by.
        version: the version to ask; the server's default if None.
        label: the label of the version to ask, such as `canary`, instead of its number.
        timeout: time limit of a request with its retries, in seconds.
        tls: whether the server uses TLS. Name your own certificate authorities in the environment
            variable `GRPC_DEFAULT_SSL_ROOTS_FILE_PATH`.

    Raises:
        UsageError: if an argument is wrong. Server problems show up at the first request.
    """
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
    return _GrpcClient(server, model, version, label, timeout, tls)


class _GrpcClient(Client):
    def __init__(self, server, model, version, label, timeout, tls):
        super().__init__()
        self._request = predict_pb2.PredictRequest()
        self._request.model_spec.name = model
        self._name = f"{server}, model {model!r}"
        if version is not None:
            self._request.model_spec.version.value = version
            self._name += f" version {version}"
        if label is not None:
            self._request.model_spec.version_label = label
            self._name += f" label {label!r}"
        self._timeout = timeout
        if tls:
            self._channel = grpc.secure_channel(server, grpc.ssl_channel_credentials(), _OPTIONS)
        else:
            self._channel = grpc.insecure_channel(server, _OPTIONS)
        self._service = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def __str__(self) -> str:
        return self._name

    def _ask(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        request = predict_pb2.PredictRequest()
        request.CopyFrom(self._request)
        request.model_spec.signature_name = signature
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        try:
            answer = self._service.Predict(request, timeout=self._timeout)
        except grpc.RpcError as error:
            code, said = error.code().name, cut(error.details() or "")
            advice = _ADVICE.get(code, _REFUSED)
            raise UsageError(f"{self}: {advice} ({code}: {said})") from None
        return {key: tf.make_ndarray(proto) for key, proto in answer.outputs.items()}

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()
