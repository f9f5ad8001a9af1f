"""A small gRPC and HTTP server that answers with an exported model; not TensorFlow Serving.

Its statuses and messages are those in the source of TensorFlow Serving (basic_manager.cc,
predict_util.cc, http_server.cc).
"""

import contextlib
import functools
import json
import re
import ssl
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tfp_cinn.export.session import SavedModelSession

_HTTP = {"INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "NOT_FOUND": 404, "UNAVAILABLE": 503}
_PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(:predict)?")

_session = functools.cache(SavedModelSession)


class Failure(Exception):
    """A status other than OK: gRPC's name of it, and a message."""


class SmallServer:
    """Serves version 1 of one model on free ports of 127.0.0.1, within a `with` block.

    Args:
        path: folder of the version.
        name: the model's.
        certificate: files of a key and of a certificate chain, to speak TLS.
        max_bytes: gRPC refuses longer requests.

    Attributes:
        addresses: `host:port` by protocol.
        asked: signatures, in the order in which they were asked for.
        failures: the next requests fail by these, `(code, message)`.
        change: makes other outputs of the model's.
    """

    def __init__(self, path, name="digits", certificate=None, max_bytes=-1):
        self._session = _session(path)
        self._name = name
        self._certificate = certificate
        self._max_bytes = max_bytes
        self.asked = []
        self.failures = []
        self.change = lambda outputs: outputs

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.addresses = {"grpc": self._start_grpc(stack), "rest": self._start_rest(stack)}
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc):
        self._stack.close()

    def _start_grpc(self, stack):
        options = [("grpc.max_receive_message_length", self._max_bytes)]
        server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
        service = prediction_service_pb2_grpc.PredictionServiceServicer()
        service.Predict = self._predict_grpc
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
        if self._certificate:
            pair = tuple(file.read_bytes() for file in self._certificate)
            port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        else:
            port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        stack.callback(lambda: server.stop(None).wait())
        return f"127.0.0.1:{port}"

    def _start_rest(self, stack):
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.daemon_threads = True
        server.answering = self
        if self._certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate[1], self._certificate[0])
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        return f"127.0.0.1:{server.server_port}"

    def check(self, name, version, label):
        """Raises `Failure` for a model, version or label that isn't served."""
        if label:
            raise Failure("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
        if name != self._name or int(version or 1) != 1:
            request = f"Specific({name}, {version})" if version else f"Latest({name})"
            raise Failure("NOT_FOUND", f"Servable not found for request: {request}")

    def predict(self, name, version, label, signature, inputs):
        """The outputs, or `Failure`."""
        self.asked.append(signature)
        if self.failures:
            raise Failure(*self.failures.pop(0))
        self.check(name, version, label)
        if signature not in self._session.signatures:
            raise Failure("FAILED_PRECONDITION", f'Serving signature key "{signature}" not found.')
        return self.change(self._session.predict(signature, inputs))

    def _predict_grpc(self, request, context):
        spec = request.model_spec
        inputs = {key: tf.make_ndarray(proto) for key, proto in request.inputs.items()}
        signature = spec.signature_name or "serving_default"
        version, label = spec.version.value, spec.version_label
        try:
            outputs = self.predict(spec.name, version, label, signature, inputs)
        except Failure as failure:
            code, message = failure.args
            context.abort(getattr(grpc.StatusCode, code), message)
        protos = {key: tf.make_tensor_proto(value) for key, value in outputs.items()}
        return predict_pb2.PredictResponse(outputs=protos)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        name, version, label, _ = _PATH.fullmatch(self.path).groups()
        self._send(lambda: self.server.answering.check(name, version, label) or _AVAILABLE)

    def do_POST(self):
        name, version, label, _ = _PATH.fullmatch(self.path).groups()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        signature = body.get("signature_name", "serving_default")

        def answer():
            outputs = self.server.answering.predict(name, version, label, signature, body["inputs"])
            values = {key: _jsonable(value) for key, value in outputs.items()}
            return {"outputs": values if len(values) > 1 else next(iter(values.values()))}

        self._send(answer)

    def _send(self, answer):
        status = 200
        try:
            content = answer()
        except Failure as failure:
            code, message = failure.args
            status, content = _HTTP[code], {"error": message}
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


_AVAILABLE = {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}


def _jsonable(value):
    return [text.decode() for text in value] if value.dtype == object else value.tolist()
