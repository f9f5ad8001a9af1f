"""A small gRPC server that answers with an exported model; not TensorFlow Serving.

Its statuses and messages are those in the source of TensorFlow Serving (basic_manager.cc,
predict_util.cc).
"""

import functools
from concurrent import futures

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tfp_cinn.export.session import SavedModelSession

_session = functools.cache(SavedModelSession)


class SmallServer:
    """Serves version 1 of one model on a free port of 127.0.0.1, within a `with` block.

    Args:
        path: folder of the version.
        name: the model's.

    Attributes:
        address: `host:port`.
        asked: signatures, in the order in which they were asked for.
        failures: the next requests fail by these, `(code, message)`.
        change: makes other outputs of the model's.
    """

    def __init__(self, path, name="digits"):
        self._session, self._name = _session(path), name
        self.asked, self.failures = [], []
        self.change = lambda outputs: outputs
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        service = prediction_service_pb2_grpc.PredictionServiceServicer()
        service.Predict = self._predict
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *exc):
        self._server.stop(None).wait()

    def _predict(self, request, context):
        def fail(code, message):
            context.abort(getattr(grpc.StatusCode, code), message)

        spec = request.model_spec
        signature, version = spec.signature_name, spec.version.value
        self.asked.append(signature)
        if self.failures:
            fail(*self.failures.pop(0))
        if spec.version_label:
            fail("INVALID_ARGUMENT", f"Unrecognized servable version label: {spec.version_label}")
        if spec.name != self._name or (version or 1) != 1:
            fail("NOT_FOUND", f"Servable not found for request: {spec.name} {version}")
        if signature not in self._session.signatures:
            fail("FAILED_PRECONDITION", f'Serving signature key "{signature}" not found.')
        inputs = {key: tf.make_ndarray(proto) for key, proto in request.inputs.items()}
        outputs = self.change(self._session.predict(signature, inputs))
        protos = {key: tf.make_tensor_proto(value) for key, value in outputs.items()}
        return predict_pb2.PredictResponse(outputs=protos)
