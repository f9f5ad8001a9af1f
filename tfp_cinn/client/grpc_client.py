"""Asking a server by gRPC."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn.client.server_client import Failure, ServerClient, VersionStatus
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
        options = [
            ("grpc.max_send_message_length", self._max_bytes),
            ("grpc.max_receive_message_length", self._max_bytes),
            ("grpc.enable_retries", 0),  # requests are made again by `ServerClient`
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

    def _exchange(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Callable[[float], Any]:
        size = sum(value.nbytes for value in inputs.values())
        if size > self._max_bytes:
            raise Failure("TOO_LARGE", f"the request has {size} bytes")
        request = self._predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = signature
        if self._version is not None:
            request.model_spec.version.value = self._version
        if self._label is not None:
            request.model_spec.version_label = self._label
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        return lambda seconds: self._call(self._prediction.Predict, request, seconds)

    def _read(self, answer: Any, outputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        return {key: self._array(proto) for key, proto in answer.outputs.items()}

    def _array(self, proto: Any) -> np.ndarray:
        # One number can stand for a tensor of any size.
        elements = math.prod(dimension.size for dimension in proto.tensor_shape.dim)
        if elements > self._max_bytes:
            raise ValueError(f"a tensor of {elements} elements")
        return tf.make_ndarray(proto)

    def _versions(self, seconds: float) -> list[VersionStatus]:
        request = self._status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._model
        try:
            answer = self._call(self._models.GetModelStatus, request, seconds)
        except Failure as failure:
            if failure.code == "NOT_FOUND":
                return []
            raise
        states = self._status_pb2.ModelVersionStatus.State.DESCRIPTOR.values_by_number
        return [
            VersionStatus(
                s.version,
                states[s.state].name if s.state in states else str(s.state),
                s.status.error_message,
            )
            for s in answer.model_version_status
        ]

    def _call(self, method: Any, request: Any, seconds: float) -> Any:
        try:
            return method(request, timeout=seconds)
        except self._grpc.RpcError as error:
            raise Failure(error.code().name, error.details() or "") from None

    def close(self) -> None:
        """Lets go of the connection."""
        self._channel.close()


def _api(name: str) -> Any:
    return importlib.import_module(f"tensorflow_serving.apis.{name}")
