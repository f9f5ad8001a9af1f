"""A client by gRPC."""

from __future__ import annotations

import json
from collections.abc import Mapping

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tfp_cinn.client.address import RETRIES, Address
from tfp_cinn.client.base import Client, Tensor

__all__ = ["GrpcClient"]

_MAX_BYTES = 2**31 - 1  # protobuf's limit; gRPC's default is 4 MiB

_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": "tensorflow.serving.PredictionService"}],
            "retryPolicy": {
                "maxAttempts": 1 + RETRIES,
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


class GrpcClient(Client):
    """Asks a server by gRPC."""

    def __init__(self, address: Address):
        super().__init__()
        self._address = address
        if address.tls:
            credentials = grpc.ssl_channel_credentials()
            self._channel = grpc.secure_channel(address.server, credentials, _OPTIONS)
        else:
            self._channel = grpc.insecure_channel(address.server, _OPTIONS)
        self._service = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def __str__(self) -> str:
        return str(self._address)

    def _ask(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, Tensor]
    ) -> dict[str, np.ndarray]:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._address.model
        request.model_spec.signature_name = signature
        if self._address.version is not None:
            request.model_spec.version.value = self._address.version
        if self._address.label is not None:
            request.model_spec.version_label = self._address.label
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        try:
            answer = self._service.Predict(request, timeout=self._address.timeout)
        except grpc.RpcError as error:
            raise self._address.failed(error.code().name, error.details() or "") from None
        return {key: tf.make_ndarray(proto) for key, proto in answer.outputs.items()}

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()
