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
import pathlib
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

import grpc
import numpy as np
from stand_in_grpc import Failure, add_services
from stand_in_rest import RestServer
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from tfp_cinn.export import SavedModelSession

_AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE
_QUEUE_FULL = (
    "The batch scheduling queue to which this task was submitted is full; currently 100 batches "
    "enqueued and max_enqueued_batches is 100"
)


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
        self.max_bytes = max_bytes
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
            options=[("grpc.max_receive_message_length", self.max_bytes)],
        )
        add_services(self, server)
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
        server = RestServer(("127.0.0.1", self._ports[1]), self)
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
