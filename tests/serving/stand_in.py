"""A stand-in for a server: not TensorFlow Serving.

It answers the real PredictionService and ModelService by gRPC, and the REST API, from models that
the C++ session loader holds, which is the one that TensorFlow Serving uses. It is written for tests
of clients: codes and messages of errors, and the numbers in JSON, are those that the source of
TensorFlow Serving gives (predict_util.cc, basic_manager.cc, get_model_status_impl.cc,
http_server.cc, json_tensor.cc). It doesn't batch requests of several clients, watch folders,
classify or regress.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import math
import pathlib
import re
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tfp_cinn.export import SavedModelSession

_AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE
_HTTP = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
}
_QUEUE_FULL = (
    "The batch scheduling queue to which this task was submitted is full; currently 100 batches "
    "enqueued and max_enqueued_batches is 100"
)
_PREDICT = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?:predict")
_MODEL = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(/metadata)?")


class Failure(Exception):
    """A status other than OK."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


class StandIn:
    """Serves models on free ports of 127.0.0.1, within a `with` block; not TensorFlow Serving.

    Args:
        models: for each name the folder of its versions, `MODELS/NAME`.
        labels: versions by label.
        max_batch_size: more rows are refused.
        max_bytes: longer requests are refused; the real server has no such limit, proxies have.
        certificate: files of a key and of a certificate, to speak TLS.
        ports: of gRPC and REST; 0 takes any that is free.

    Attributes:
        grpc: `host:port`.
        rest: `host:port`.
        calls: how often each method was asked, by name.
        rows: the number of rows of each answered `Predict`.
        unavailable: so many calls from now on fail with UNAVAILABLE; `math.inf` for all.
        queue_full: as `unavailable`, with the message of a batching queue that is full.
        delay: seconds before each answer.
        html: answers by REST are a page, as of a proxy.
        change: makes other outputs of those that the model gives.
        broken: version states other than AVAILABLE: `{(name, version): (state, error)}`.
    """

    def __init__(
        self,
        models: Mapping[str, pathlib.Path],
        labels: Mapping[str, int] | None = None,
        max_batch_size: int = 64,
        max_bytes: int = 2**31 - 1,
        certificate: tuple[pathlib.Path, pathlib.Path] | None = None,
        ports: tuple[int, int] = (0, 0),
    ):
        self._folders = {
            (name, int(path.name)): path
            for name, folder in models.items()
            for path in pathlib.Path(folder).iterdir()
            if path.name.isdecimal()
        }
        self._labels = labels or {}
        self._max_batch_size = max_batch_size
        self._max_bytes = max_bytes
        self._certificate = certificate
        self._ports = ports
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Behaves well again, and forgets what was counted."""
        self.calls: collections.Counter[str] = collections.Counter()
        self.rows: list[int] = []
        self.unavailable: float = 0
        self.queue_full: float = 0
        self.delay = 0.0
        self.html = False
        self.change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] | None = None
        self.broken: dict[tuple[str, int], tuple[str, str]] = {}

    def __enter__(self) -> StandIn:
        with contextlib.ExitStack() as stack:
            self._sessions = {key: _session(path) for key, path in self._folders.items()}
            self._start_grpc(stack)
            self._start_rest(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _start_grpc(self, stack: contextlib.ExitStack) -> None:
        server = grpc.server(
            futures.ThreadPoolExecutor(8),
            options=[("grpc.max_receive_message_length", self._max_bytes)],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            _PredictionService(self), server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(self), server)
        address = f"127.0.0.1:{self._ports[0]}"
        if self._certificate:
            pair = tuple(pathlib.Path(file).read_bytes() for file in self._certificate)
            credentials = grpc.ssl_server_credentials([pair])
            port = server.add_secure_port(address, credentials)
        else:
            port = server.add_insecure_port(address)
        server.start()
        stack.callback(lambda: server.stop(None).wait())
        self.grpc = f"127.0.0.1:{port}"

    def _start_rest(self, stack: contextlib.ExitStack) -> None:
        stand_in = self

        class Handler(_RestHandler):
            server_of = stand_in

        server = _RestServer(("127.0.0.1", self._ports[1]), Handler)
        if self._certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate[1], self._certificate[0])
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        self.rest = f"127.0.0.1:{server.server_port}"

    # What both protocols ask.

    def begin(self, method: str) -> None:
        """Counts a call, and misbehaves if told to."""
        with self._lock:
            self.calls[method] += 1
            full, self.queue_full = self.queue_full > 0, max(self.queue_full - 1, 0)
            away, self.unavailable = self.unavailable > 0, max(self.unavailable - 1, 0)
        time.sleep(self.delay)
        if full:
            raise Failure("UNAVAILABLE", _QUEUE_FULL)
        if away:
            raise Failure("UNAVAILABLE", "the stand-in was told to be unavailable")

    def find(self, name: str, version: int | None, label: str | None) -> tuple[str, int]:
        """The model and version that a ModelSpec asks for."""
        if label is not None:
            if label not in self._labels:
                message = f"Unrecognized servable version label: {label}"
                raise Failure("INVALID_ARGUMENT", message)
            version = self._labels[label]
        there = [v for n, v in self._sessions if n == name and (n, v) not in self.broken]
        request = f"Specific({name}, {version})" if version is not None else f"Latest({name})"
        if not there or version not in (None, *there):
            raise Failure("NOT_FOUND", f"Servable not found for request: {request}")
        return name, max(there) if version is None else version

    def predict(
        self, key: tuple[str, int], signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Answers a request."""
        session = self._sessions[key]
        if signature not in session.signatures:
            message = f'Serving signature key "{signature}" not found.'
            raise Failure("FAILED_PRECONDITION", message)
        rows = max(len(value) for value in inputs.values()) if inputs else 0
        if rows > self._max_batch_size:
            raise Failure(
                "INVALID_ARGUMENT",
                f"Task size {rows} is larger than maximum input batch size {self._max_batch_size}",
            )
        try:
            outputs = session.run(signature, inputs)
        except ValueError as error:
            raise Failure("INVALID_ARGUMENT", str(error)) from None
        self.rows.append(rows)
        return self.change(outputs) if self.change else outputs

    def inputs_of(self, key: tuple[str, int], signature: str) -> dict[str, Any]:
        """The inputs of a signature, which JSON's numbers are turned into."""
        signatures = self._sessions[key].signatures
        if signature not in signatures:
            message = f'Serving signature name: "{signature}" not found in signature def'
            raise Failure("INVALID_ARGUMENT", message)
        return signatures[signature][0]

    def status(self, name: str, version: int | None) -> get_model_status_pb2.GetModelStatusResponse:
        """The versions of a model."""
        versions = sorted(v for n, v in self._sessions if n == name and version in (None, v))
        if not versions:
            which = "any versions" if version is None else f"version {version}"
            raise Failure("NOT_FOUND", f"Could not find {which} of model {name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for each in reversed(versions):
            status = response.model_version_status.add(version=each, state=_AVAILABLE)
            status.status.error_message = ""
            if (name, each) in self.broken:
                state, status.status.error_message = self.broken[name, each]
                status.state = status.State.Value(state)
        return response

    def metadata(self, key: tuple[str, int]) -> get_model_metadata_pb2.SignatureDefMap:
        """The signatures of a model."""
        content = (self._folders[key] / "saved_model.pb").read_bytes()
        graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]
        return get_model_metadata_pb2.SignatureDefMap(signature_def=graph.signature_def)


@functools.cache
def _session(path: pathlib.Path) -> SavedModelSession:
    return SavedModelSession(path)


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, server: StandIn):
        self._server = server

    def Predict(self, request, context):
        with _as_status(context):
            self._server.begin("Predict")
            spec = request.model_spec
            key = self._server.find(*_of_spec(spec))
            inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            signature = spec.signature_name or "serving_default"
            outputs = self._server.predict(key, signature, inputs)
            response = predict_pb2.PredictResponse()
            response.model_spec.name, response.model_spec.version.value = key
            response.model_spec.signature_name = signature
            for name, value in outputs.items():
                response.outputs[name].CopyFrom(_proto(value))
            return response

    def GetModelMetadata(self, request, context):
        with _as_status(context):
            self._server.begin("GetModelMetadata")
            if list(request.metadata_field) != ["signature_def"]:
                message = "GetModelMetadataRequest must specify at least one metadata_field"
                raise Failure("INVALID_ARGUMENT", message)
            key = self._server.find(*_of_spec(request.model_spec))
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name, response.model_spec.version.value = key
            response.metadata["signature_def"].Pack(self._server.metadata(key))
            return response


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, server: StandIn):
        self._server = server

    def GetModelStatus(self, request, context):
        with _as_status(context):
            self._server.begin("GetModelStatus")
            name, version, _ = _of_spec(request.model_spec)
            return self._server.status(name, version)


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


class _RestServer(ThreadingHTTPServer):
    """Closes its connections with itself, which clients may keep open."""

    daemon_threads = True

    def __init__(self, *args):
        super().__init__(*args)
        self._connections = set()

    def get_request(self):
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request):
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self):
        super().server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _RestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_of: StandIn

    def log_message(self, *_):
        pass

    def do_GET(self):
        match = _MODEL.fullmatch(self.path)
        if not match:
            self._send(404, "<html>Not Found</html>", "text/html")
            return
        name, version, label = _of_url(match)
        with self._as_json():
            if match[4]:
                self.server_of.begin("GetModelMetadata")
                key = self.server_of.find(name, version, label)
                spec = {"name": key[0], "signature_name": "", "version": str(key[1])}
                metadata = {"signature_def": _to_json(self.server_of.metadata(key))}
                self._send(200, json.dumps({"model_spec": spec, "metadata": metadata}))
            else:
                self.server_of.begin("GetModelStatus")
                self._send(200, json.dumps(_to_json(self.server_of.status(name, version))))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        match = _PREDICT.fullmatch(self.path)
        if not match:
            self._send(404, "<html>Not Found</html>", "text/html")
            return
        with self._as_json():
            self.server_of.begin("Predict")
            if len(body) > self.server_of._max_bytes:
                self._send(413, "<html>Payload Too Large</html>", "text/html")
                return
            key = self.server_of.find(*_of_url(match))
            request = json.loads(body)
            signature = request.get("signature_name", "serving_default")
            expected = self.server_of.inputs_of(key, signature)
            columns, values = "inputs" in request, request.get("inputs")
            if not columns:
                rows = request["instances"]
                named = len(expected) > 1 or isinstance(rows[0], dict)
                values = {k: [row[k] for row in rows] for k in expected} if named else rows
            if not isinstance(values, dict):
                values = {next(iter(expected)): values}
            if missing := expected.keys() - values.keys():
                message = f"Missing named input: {min(missing)} in 'inputs' object."
                raise Failure("INVALID_ARGUMENT", message)
            inputs = {k: np.array(values[k], facts.dtype) for k, facts in expected.items()}
            outputs = self.server_of.predict(key, signature, inputs)
            self._send(200, _columns(outputs) if columns else _rows(outputs))

    @contextlib.contextmanager
    def _as_json(self):
        try:
            yield
        except Failure as failure:
            self._send(_HTTP[failure.code], json.dumps({"error": failure.message}))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            self._send(400, json.dumps({"error": f"JSON Parse error: {error}"}))

    def _send(self, status: int, text: str, kind: str = "application/json") -> None:
        if self.server_of.html:
            text, kind = "<html>\n<body>Sign in to the proxy</body>\n</html>", "text/html"
        body = text.encode()
        with contextlib.suppress(OSError):  # the client may be gone
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)


def _of_url(match: re.Match) -> tuple[str, int | None, str | None]:
    version = int(match[2]) if match[2] else None
    label = urllib.parse.unquote(match[3]) if match[3] else None
    return urllib.parse.unquote(match[1]), version, label


def _to_json(proto) -> dict[str, Any]:
    return json_format.MessageToDict(
        proto, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _columns(outputs: Mapping[str, np.ndarray]) -> str:
    return _object({"outputs": _without_only_name({k: _text(v) for k, v in outputs.items()})})


def _rows(outputs: Mapping[str, np.ndarray]) -> str:
    count = len(next(iter(outputs.values())))
    rows = [{name: _text(value[k]) for name, value in outputs.items()} for k in range(count)]
    return _object({"predictions": "[" + ", ".join(map(_without_only_name, rows)) + "]"})


def _without_only_name(texts: Mapping[str, str]) -> str:
    return next(iter(texts.values())) if len(texts) == 1 else _object(texts)


def _object(texts: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {text}' for name, text in texts.items()) + "}"


def _text(value: Any) -> str:
    """A tensor in JSON, numbers as the server writes them."""
    if isinstance(value, np.ndarray) and value.ndim:
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, bytes):
        return json.dumps(value.decode())
    if not isinstance(value, np.floating):
        return str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "-Infinity" if value < 0 else "Infinity"
    text = f"{value:g}"
    if type(value)(text) != value:
        text = f"{value:.9g}"
    return text if set(".e") & set(text) else text + ".0"
