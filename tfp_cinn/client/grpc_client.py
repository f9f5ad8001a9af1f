"""Asking a server by gRPC."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn.client.server_client import ATTEMPTS, ServerClient, VersionStatus
from tfp_cinn.errors import UsageError
from tfp_cinn.export.session import Tensor

__all__ = ["GrpcClient"]


class GrpcClient(ServerClient):
    """Asks a server by gRPC; see `tfp_cinn.client.connect` for the arguments."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        try:
            self._grpc = importlib.import_module("grpc")
            self._predict_pb2 = _api("predict_pb2")
            self._status_pb2 = _api("get_model_status_pb2")
            prediction, model = _api("prediction_service_pb2_grpc"), _api("model_service_pb2_grpc")
        except ImportError as error:
            raise UsageError(
                "gRPC needs the package tensorflow-serving-api; pip install 'tfp-cinn[serving]', "
                f"or use REST ({error})"
            ) from None
        retries = {
            "maxAttempts": ATTEMPTS,
            "initialBackoff": f"{self._pause}s",
            "maxBackoff": f"{8 * self._pause}s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        config = {"methodConfig": [{"name": [{}], "retryPolicy": retries}]}
        options = [
            ("grpc.service_config", json.dumps(config)),
            ("grpc.max_send_message_length", self._max_bytes),
            ("grpc.max_receive_message_length", self._max_bytes),
            # A request that it can't keep, by default one beyond 256 KiB, is sent only once.
            ("grpc.per_rpc_retry_buffer_size", self._max_bytes),
            # An attempt fails at once while the channel waits to reconnect.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        if self._tls:
            credentials = self._grpc.ssl_channel_credentials()
            self._channel = self._grpc.secure_channel(self._server, credentials, options)
        else:
            self._channel = self._grpc.insecure_channel(self._server, options)
        self._prediction = prediction.PredictionServiceStub(self._channel)
        self._models = model.ModelServiceStub(self._channel)

    def _ask(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, Tensor]
    ) -> dict[str, np.ndarray]:
        request = self._predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = signature
        if self._version is not None:
            request.model_spec.version.value = self._version
        if self._label is not None:
            request.model_spec.version_label = self._label
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        try:
            response = self._prediction.Predict(request, timeout=self._timeout)
            return {key: tf.make_ndarray(proto) for key, proto in response.outputs.items()}
        except self._grpc.RpcError as error:
            raise self._failure(error.code().name, error.details() or "") from None
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"{self}: {signature}: the answer can't be read ({error}); check what answers there"
            ) from None

    def _versions(self) -> list[VersionStatus]:
        request = self._status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._model
        try:
            response = self._models.GetModelStatus(request, timeout=self._timeout)
        except self._grpc.RpcError as error:
            if error.code().name == "NOT_FOUND":
                return []
            raise UsageError(error.details()) from None
        return [
            VersionStatus(s.version, s.State.Name(s.state), s.status.error_message)
            for s in response.model_version_status
        ]

    def close(self) -> None:
        """Lets go of the connection."""
        self._channel.close()


def _api(name: str) -> Any:
    return importlib.import_module(f"tensorflow_serving.apis.{name}")
