"""A client by gRPC."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn.client.base import Tensor
from tfp_cinn.client.server_client import RETRIES, ServerClient
from tfp_cinn.errors import UsageError

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


class GrpcClient(ServerClient):
    """Asks a server by gRPC; see `tfp_cinn.client.connect` for the arguments."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        try:
            self._grpc = importlib.import_module("grpc")
            self._api = importlib.import_module("tensorflow_serving.apis.predict_pb2")
            service = importlib.import_module("tensorflow_serving.apis.prediction_service_pb2_grpc")
        except ImportError as error:
            raise UsageError(
                "gRPC needs the package tensorflow-serving-api; pip install 'tfp-cinn[serving]', "
                f"or use REST ({error})"
            ) from None
        if self._tls:
            credentials = self._grpc.ssl_channel_credentials()
            self._channel = self._grpc.secure_channel(self._server, credentials, _OPTIONS)
        else:
            self._channel = self._grpc.insecure_channel(self._server, _OPTIONS)
        self._service = service.PredictionServiceStub(self._channel)

    def _ask(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, Tensor]
    ) -> dict[str, np.ndarray]:
        request = self._api.PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = signature
        if self._version is not None:
            request.model_spec.version.value = self._version
        if self._label is not None:
            request.model_spec.version_label = self._label
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        try:
            answer = self._service.Predict(request, timeout=self._timeout)
        except self._grpc.RpcError as error:
            raise self._failed(error.code().name, error.details() or "") from None
        return {key: tf.make_ndarray(proto) for key, proto in answer.outputs.items()}

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()
