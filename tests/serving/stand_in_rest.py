"""The REST side of the stand-in, which is not TensorFlow Serving."""

from __future__ import annotations

import contextlib
import json
import math
import re
import socket
import urllib.parse
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from google.protobuf import json_format
from stand_in_grpc import Failure

_HTTP = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
}
_PREDICT = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?:predict")
_MODEL = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(/metadata)?")


class RestServer(ThreadingHTTPServer):
    """Answers the REST API from a stand-in; closes its connections with itself."""

    daemon_threads = True

    def __init__(self, address, stand_in):
        super().__init__(address, _RestHandler)
        self.stand_in = stand_in
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
                self.server.stand_in.begin("GetModelMetadata")
                key = self.server.stand_in.find(name, version, label)
                spec = {"name": key[0], "signature_name": "", "version": str(key[1])}
                metadata = {"signature_def": _to_json(self.server.stand_in.metadata(key))}
                self._send(200, json.dumps({"model_spec": spec, "metadata": metadata}))
            else:
                self.server.stand_in.begin("GetModelStatus")
                self._send(200, json.dumps(_to_json(self.server.stand_in.status(name, version))))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        match = _PREDICT.fullmatch(self.path)
        if not match:
            self._send(404, "<html>Not Found</html>", "text/html")
            return
        with self._as_json():
            self.server.stand_in.begin("Predict")
            if len(body) > self.server.stand_in.max_bytes:
                self._send(413, "<html>Payload Too Large</html>", "text/html")
                return
            key = self.server.stand_in.find(*_of_url(match))
            request = json.loads(body)
            signature = request.get("signature_name", "serving_default")
            expected = self.server.stand_in.inputs_of(key, signature)
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
            outputs = self.server.stand_in.predict(key, signature, inputs)
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
        if self.server.stand_in.html:
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
