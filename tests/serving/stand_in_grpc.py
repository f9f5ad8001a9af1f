"""The gRPC side of the stand-in, which is not TensorFlow Serving."""

from __future__ import annotations

import contextlib

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)


class Failure(Exception):
    """A status other than OK."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


def add_services(stand_in, server: grpc.Server) -> None:
    """Answers PredictionService and ModelService from a stand-in."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(stand_in), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(stand_in), server)


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, stand_in):
        self._stand_in = stand_in

    def Predict(self, request, context):
        with _as_status(context):
            self._stand_in.begin("Predict")
            spec = request.model_spec
            key = self._stand_in.find(*_of_spec(spec))
            inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            signature = spec.signature_name or "serving_default"
            outputs = self._stand_in.predict(key, signature, inputs)
            response = predict_pb2.PredictResponse()
            response.model_spec.name, response.model_spec.version.value = key
            response.model_spec.signature_name = signature
            for name, value in outputs.items():
                response.outputs[name].CopyFrom(_proto(value))
            return response

    def GetModelMetadata(self, request, context):
        with _as_status(context):
            self._stand_in.begin("GetModelMetadata")
            if list(request.metadata_field) != ["signature_def"]:
                message = "GetModelMetadataRequest must specify at least one metadata_field"
                raise Failure("INVALID_ARGUMENT", message)
            key = self._stand_in.find(*_of_spec(request.model_spec))
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name, response.model_spec.version.value = key
            response.metadata["signature_def"].Pack(self._stand_in.metadata(key))
            return response


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, stand_in):
        self._stand_in = stand_in

    def GetModelStatus(self, request, context):
        with _as_status(context):
            self._stand_in.begin("GetModelStatus")
            name, version, _ = _of_spec(request.model_spec)
            return self._stand_in.status(name, version)


@contextlib.contextmanager
def _as_status(context):
    try:
        yield
    except Failure as failure:
        context.abort(getattr(grpc.StatusCode, failure.code), failure.message[:1024])


def _of_spec(spec) -> tuple[str, int | None, str | None]:
    choice = spec.WhichOneof("version_choice")
    version = spec.version.value if choice == "version" else None
    return spec.name, version, spec.version_label if choice == "version_label" else None


def _proto(value: np.ndarray):
    """As the server does by default: floats as a list of numbers, not as bytes."""
    proto = tf.make_tensor_proto(value)
    if value.dtype == np.float32:
        proto = type(proto)(dtype=proto.dtype, tensor_shape=proto.tensor_shape)
        proto.float_val.extend(value.ravel().tolist())
    return proto
