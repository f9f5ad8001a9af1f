"""Runs a SavedModel through the C++ session loader, which is the one that TensorFlow Serving uses.

A model that `tf.saved_model.load` opens may fail there, so that only this loader proves that a
model can be served. The file works by itself, without importing TensorFlow's Python side or the
rest of this package:

    python session.py MODELS/NAME/VERSION    # replays the model's warm-up records
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import json
import pathlib
import struct
import sys
import time
import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

__all__ = ["SavedModelSession", "Tensor", "WARM_UP", "replay"]

WARM_UP = pathlib.PurePath("assets.extra/tf_serving_warmup_requests")

# Of the largest absolute value of an output. The same kernels give the same bits; another machine
# or another number of threads adds up in another order.
_TOLERANCE = 1e-3

_STRING = 7
_DTYPES = {
    1: np.float32, 2: np.float64, 3: np.int32, 4: np.uint8, 5: np.int16, 6: np.int8, 9: np.int64,
    10: np.bool_, 17: np.uint16, 19: np.float16, 22: np.uint32, 23: np.uint64,
}  # fmt: skip


class Tensor(NamedTuple):
    """An input or output of a signature.

    Attributes:
        dtype: NumPy's type, `object` for strings.
        shape: with None where any size will do.
    """

    dtype: np.dtype
    shape: tuple[int | None, ...]


class _Endpoint(NamedTuple):
    inputs: dict[str, Any]  # name in the signature: TensorInfo
    outputs: dict[str, Any]


class _Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("free", ctypes.c_void_p)]


class _Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class SavedModelSession:
    """A SavedModel, loaded as TensorFlow Serving loads it, on TensorFlow's C API.

    Safe to call from several threads at once.

    Args:
        path: folder with a `saved_model.pb`.

    Attributes:
        signatures: for each signature its inputs and its outputs, each a dict of `Tensor`.

    Raises:
        ValueError: if the model can't be loaded.
    """

    def __init__(self, path: Any):
        self._tf = _library()
        with bare_tensorflow():
            meta_graph = importlib.import_module("tensorflow.core.protobuf.meta_graph_pb2")
        self._graph = self._tf.TF_NewGraph()
        self._session = None
        options, buffer = self._tf.TF_NewSessionOptions(), self._tf.TF_NewBuffer()
        tags = (ctypes.c_char_p * 1)(b"serve")
        try:
            with self._status(f"{path}: can't be loaded") as status:
                self._session = self._tf.TF_LoadSessionFromSavedModel(
                    options, None, str(path).encode(), tags, 1, self._graph, buffer, status
                )
            graph_def = meta_graph.MetaGraphDef.FromString(
                ctypes.string_at(buffer.contents.data, buffer.contents.length)
            )
        finally:
            self._tf.TF_DeleteBuffer(buffer)
            self._tf.TF_DeleteSessionOptions(options)
        self._endpoints = {
            name: _Endpoint(dict(signature.inputs), dict(signature.outputs))
            for name, signature in graph_def.signature_def.items()
            if not name.startswith("__")
        }
        self.signatures = {
            name: tuple({key: _facts(info) for key, info in side.items()} for side in endpoint)
            for name, endpoint in self._endpoints.items()
        }

    def run(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Answers one request.

        Args:
            signature: its name.
            inputs: a value for each input of the signature; dimension 0 is the batch.

        Returns:
            A value for each output; strings as `bytes` in an array of objects.

        Raises:
            ValueError: if the signature, an input's name, dtype or shape is wrong, or the run
                fails.
        """
        if signature not in self._endpoints:
            raise ValueError(
                f"no signature {signature!r}, expected one of {', '.join(sorted(self._endpoints))}"
            )
        endpoint = self._endpoints[signature]
        if inputs.keys() != endpoint.inputs.keys():
            raise ValueError(
                f"{signature}: expected the inputs {', '.join(sorted(endpoint.inputs))}, got "
                f"{', '.join(sorted(inputs)) or 'none'}"
            )
        feeds, fetches = list(endpoint.inputs), list(endpoint.outputs)
        tensors: list[int] = []
        results = (ctypes.c_void_p * len(fetches))()
        try:
            for key in feeds:
                value = _checked(signature, key, inputs[key], _facts(endpoint.inputs[key]))
                tensors.append(self._to_tensor(value, endpoint.inputs[key].dtype))
            with self._status(signature) as status:
                self._tf.TF_SessionRun(
                    self._session,
                    None,
                    self._outputs(endpoint.inputs[key] for key in feeds),
                    (ctypes.c_void_p * len(feeds))(*tensors),
                    len(feeds),
                    self._outputs(endpoint.outputs[key] for key in fetches),
                    results,
                    len(fetches),
                    None,
                    0,
                    None,
                    status,
                )
            return {key: self._to_array(t) for key, t in zip(fetches, list(results), strict=True)}
        finally:
            for tensor in (*tensors, *(t for t in results if t)):
                self._tf.TF_DeleteTensor(tensor)

    def close(self) -> None:
        """Frees the model's memory; it can't be run afterwards."""
        session, self._session = self._session, None
        if session:
            with self._status("close") as status:
                self._tf.TF_DeleteSession(session, status)
            self._tf.TF_DeleteGraph(self._graph)

    def __enter__(self) -> SavedModelSession:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _status(self, what: str) -> Iterator[int]:
        """A TF_Status that becomes a ValueError if TensorFlow sets it."""
        status = self._tf.TF_NewStatus()
        try:
            yield status
            if self._tf.TF_GetCode(status):
                message = self._tf.TF_Message(status).decode(errors="replace")
                raise ValueError(f"{what}: {' '.join(message.split())[:500]}")
        finally:
            self._tf.TF_DeleteStatus(status)

    def _outputs(self, infos):
        places = [info.name.rpartition(":") for info in infos]
        operations = [
            self._tf.TF_GraphOperationByName(self._graph, operation.encode())
            for operation, _, _ in places
        ]
        return (_Output * len(places))(
            *(_Output(o, int(index)) for o, (_, _, index) in zip(operations, places, strict=True))
        )

    def _to_tensor(self, value: np.ndarray, dtype: int) -> int:
        value = np.ascontiguousarray(value)
        dims = (ctypes.c_int64 * value.ndim)(*value.shape)
        tensor = self._tf.TF_AllocateTensor(dtype, dims, value.ndim, value.nbytes)
        ctypes.memmove(self._tf.TF_TensorData(tensor), value.ctypes.data, value.nbytes)
        return tensor

    def _to_array(self, tensor: int) -> np.ndarray:
        shape = [self._tf.TF_Dim(tensor, k) for k in range(self._tf.TF_NumDims(tensor))]
        dtype = self._tf.TF_TensorType(tensor)
        size, data = self._tf.TF_TensorByteSize(tensor), self._tf.TF_TensorData(tensor)
        if dtype != _STRING:
            return np.frombuffer(ctypes.string_at(data, size), _DTYPES[dtype]).reshape(shape)
        count = int(np.prod(shape, dtype=int))
        texts = np.empty(count, object)
        for k in range(count):
            text = data + k * (size // count)
            texts[k] = ctypes.string_at(
                self._tf.TF_StringGetDataPointer(text), self._tf.TF_StringGetSize(text)
            )
        return texts.reshape(shape)


def replay(path: Any) -> dict[str, Any]:
    """Loads a SavedModel and answers its warm-up records, as a server does before it serves.

    A record holds the response as well, where the model's exporter put it: the answers have to
    agree with it to 1e-3 of the output's largest absolute value.

    Args:
        path: folder of the model.

    Returns:
        `records`, `signatures` (names), `seconds`, and `largest_difference`, relative.

    Raises:
        ValueError: if the model can't be loaded, has no records, can't answer or answers otherwise.
    """
    start = time.perf_counter()
    path = pathlib.Path(path)
    with bare_tensorflow():
        prediction_log = importlib.import_module("tensorflow_serving.apis.prediction_log_pb2")
    try:
        records = [prediction_log.PredictionLog.FromString(r) for r in _records(path / WARM_UP)]
    except (OSError, ValueError, struct.error) as error:
        raise ValueError(f"{path / WARM_UP}: can't be read ({error})") from None
    if not records:
        raise ValueError(f"{path / WARM_UP}: holds no records")
    largest, seen = 0.0, set()
    with SavedModelSession(path) as session:
        for number, record in enumerate(records):
            log = record.predict_log
            signature = log.request.model_spec.signature_name
            inputs = {key: _from_proto(t) for key, t in log.request.inputs.items()}
            answer = session.run(signature, inputs)
            for key, expected in log.response.outputs.items():
                difference = _difference(answer[key], _from_proto(expected))
                if not difference <= _TOLERANCE:
                    raise ValueError(
                        f"{signature}: output {key} of warm-up record {number} differs by "
                        f"{difference:.1g} of its largest value from what the model gave in Python"
                    )
                largest = max(largest, difference)
            seen.add(signature)
    return {
        "records": len(records),
        "signatures": sorted(seen),
        "seconds": round(time.perf_counter() - start, 3),
        "largest_difference": largest,
    }


@contextlib.contextmanager
def bare_tensorflow() -> Iterator[None]:
    """Context in which TensorFlow's protobuf modules can be imported without TensorFlow."""
    if "tensorflow" in sys.modules:
        yield
        return
    package = types.ModuleType("tensorflow")
    package.__path__ = [str(_folder())]
    sys.modules["tensorflow"] = package
    try:
        yield
    finally:
        del sys.modules["tensorflow"]


def _folder() -> pathlib.Path:
    # Not the package's __path__, to which TensorFlow adds others.
    return pathlib.Path(importlib.util.find_spec("tensorflow").origin).parent


def _library() -> ctypes.CDLL:
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    buffer = ctypes.POINTER(_Buffer)
    load = (pointer, pointer, text, pointer, number, pointer, buffer, pointer)
    values = (pointer, pointer, number)
    run = (pointer, pointer, *values, *values, pointer, number, pointer, pointer)
    library = ctypes.CDLL(str(_folder() / "libtensorflow_cc.so.2"))
    for name, result, *arguments in (
        ("TF_NewStatus", pointer),
        ("TF_DeleteStatus", None, pointer),
        ("TF_GetCode", number, pointer),
        ("TF_Message", text, pointer),
        ("TF_NewBuffer", buffer),
        ("TF_DeleteBuffer", None, buffer),
        ("TF_NewGraph", pointer),
        ("TF_DeleteGraph", None, pointer),
        ("TF_GraphOperationByName", pointer, pointer, text),
        ("TF_NewSessionOptions", pointer),
        ("TF_DeleteSessionOptions", None, pointer),
        ("TF_LoadSessionFromSavedModel", pointer, *load),
        ("TF_DeleteSession", None, pointer, pointer),
        ("TF_SessionRun", None, *run),
        ("TF_AllocateTensor", pointer, number, pointer, number, ctypes.c_size_t),
        ("TF_DeleteTensor", None, pointer),
        ("TF_TensorType", number, pointer),
        ("TF_NumDims", number, pointer),
        ("TF_Dim", ctypes.c_int64, pointer, number),
        ("TF_TensorByteSize", ctypes.c_size_t, pointer),
        ("TF_TensorData", pointer, pointer),
        ("TF_StringGetDataPointer", pointer, pointer),
        ("TF_StringGetSize", ctypes.c_size_t, pointer),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, list(arguments)
    return library


def _facts(info: Any) -> Tensor:
    shape = tuple(None if d.size < 0 else d.size for d in info.tensor_shape.dim)
    return Tensor(np.dtype(_DTYPES.get(info.dtype, object)), shape)


def _checked(signature: str, key: str, value: Any, facts: Tensor) -> np.ndarray:
    value = np.asarray(value)
    if not np.can_cast(value.dtype, facts.dtype, "same_kind"):
        raise ValueError(f"{signature}: input {key} is {value.dtype}, expected {facts.dtype}")
    fits = len(value.shape) == len(facts.shape) and all(
        n is None or n == m for n, m in zip(facts.shape, value.shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"{signature}: input {key} has shape {value.shape}, expected {facts.shape}"
        )
    return value.astype(facts.dtype, copy=False)


def _records(path: pathlib.Path) -> Iterator[bytes]:
    """Records of a TFRecord file: length, its checksum, data, their checksum."""
    content = path.read_bytes()
    position = 0
    while position < len(content):
        (length,) = struct.unpack_from("<Q", content, position)
        record = content[position + 12 : position + 12 + length]
        position += length + 16
        if position > len(content):
            raise ValueError("cut short")
        yield record


def _from_proto(proto: Any) -> np.ndarray:
    shape = [d.size for d in proto.tensor_shape.dim]
    if proto.dtype == _STRING:
        return np.array(list(proto.string_val), object).reshape(shape)
    return np.frombuffer(proto.tensor_content, _DTYPES[proto.dtype]).reshape(shape)


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    """Largest absolute difference over largest absolute value; infinite for unlike arrays."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.inf
    if a.dtype == object:
        return 0.0 if (a == b).all() else np.inf
    if not a.size:
        return 0.0
    return float(np.abs(a - b).max() / (np.abs(b).max() or 1.0))


if __name__ == "__main__":
    try:
        print(json.dumps(replay(sys.argv[1])))
    except ValueError as error:
        print(error)  # TensorFlow writes to standard error
        sys.exit(1)
