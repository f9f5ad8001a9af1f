"""Asking a server by REST: JSON over HTTP."""

from __future__ import annotations

import json
import queue
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import requests
import urllib3

from tfp_cinn.client.base import UNREADABLE
from tfp_cinn.client.server_client import Failure, ServerClient, VersionStatus
from tfp_cinn.export.session import Tensor

__all__ = ["RestClient"]

# As TensorFlow Serving turns gRPC's statuses into HTTP's.
_CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_CHUNK = 1 << 16


class _Answer(NamedTuple):
    status: int
    kind: str  # content type
    body: bytes


class RestClient(ServerClient):
    """Asks a server by REST; see `tfp_cinn.client.connect` for the arguments.

    Inputs go in the columnar format, `{"inputs": {name: values}}`. Floating-point numbers survive
    JSON exactly, NaN and infinities as the tokens that the server uses as well.

    Source: TensorFlow Serving's "RESTful API".
    """

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._session = requests.Session()

    def _exchange(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> Callable[[float], dict[str, Any]]:
        values = {key: value.tolist() for key, value in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": values}).encode()
        if len(body) > self._max_bytes:
            raise Failure("TOO_LARGE", f"the request has {len(body)} bytes")
        path = ""
        if self._version is not None:
            path = f"/versions/{self._version}"
        if self._label is not None:
            path = f"/labels/{_quoted(self._label)}"
        return lambda seconds: self._call("POST", f"{path}:predict", body, seconds)

    def _read(self, answer: dict[str, Any], outputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        values = answer["outputs"]
        # A single output comes without its name.
        values = {next(iter(outputs)): values} if len(outputs) == 1 else values
        return {key: _array(value, outputs[key].dtype) for key, value in values.items()}

    def _versions(self, seconds: float) -> list[VersionStatus]:
        try:
            answer = self._call("GET", "", None, seconds)
            return [
                VersionStatus(
                    int(v["version"]), str(v["state"]), str(v["status"].get("error_message", ""))
                )
                for v in answer["model_version_status"]
            ]
        except Failure as failure:
            if failure.code == "NOT_FOUND":
                return []
            raise
        except UNREADABLE as error:
            raise Failure("FOREIGN", repr(error)) from None

    def _call(self, method: str, path: str, body: bytes | None, seconds: float) -> dict[str, Any]:
        """The JSON object that answers a request.

        requests knows a limit for each connection and each pause between bytes, none for looking up
        the name, and none for all that. So somebody else waits for it.
        """
        result: queue.SimpleQueue[_Answer | Exception] = queue.SimpleQueue()

        def send() -> None:
            try:
                result.put(self._send(method, path, body, seconds))
            except Exception as error:
                result.put(error)

        threading.Thread(target=send, daemon=True).start()
        try:
            answer = result.get(timeout=seconds)
        except queue.Empty:
            raise Failure("DEADLINE_EXCEEDED", "no answer") from None
        if isinstance(answer, requests.RequestException | urllib3.exceptions.HTTPError):
            raise _failure(answer) from None
        if isinstance(answer, Exception):
            raise answer
        return _content(answer)

    def _send(self, method: str, path: str, body: bytes | None, seconds: float) -> _Answer:
        scheme = "https" if self._tls else "http"
        with self._session.request(
            method,
            f"{scheme}://{self._server}/v1/models/{_quoted(self._model)}{path}",
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=seconds,
            allow_redirects=False,
            stream=True,
        ) as response:
            content = bytearray()
            for chunk in response.iter_content(_CHUNK):
                content += chunk
                if len(content) > self._max_bytes:
                    raise Failure("TOO_LARGE", "the answer")
            kind = response.headers.get("Content-Type", "").partition(";")[0]
            return _Answer(response.status_code, kind, bytes(content))

    def close(self) -> None:
        """Lets go of the connection."""
        self._session.close()


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _array(value: Any, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "O":
        if not isinstance(value, list):
            raise TypeError(f"{type(value).__name__} instead of a list of strings")
        return np.array([text.encode() for text in value], object)
    array = np.asarray(value)
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        raise TypeError(f"{array.dtype} instead of {dtype}")
    return array.astype(dtype)


def _content(answer: _Answer) -> dict[str, Any]:
    try:
        content = json.loads(answer.body)
    except (RecursionError, ValueError):
        content = None
    if answer.status == 200 and isinstance(content, dict):
        return content
    if isinstance(content, dict) and "error" in content:
        code = _CODES.get(answer.status, f"HTTP {answer.status}")
        raise Failure(code, str(content["error"]))
    said = f"HTTP {answer.status}, {answer.kind or 'no content type'}"
    if answer.status == 413:
        raise Failure("TOO_LARGE", said)
    if answer.status in (429, 503, 504):
        raise Failure(_CODES[answer.status], said)
    raise Failure("FOREIGN", said)


def _failure(error: Exception) -> Failure:
    """What an error of requests or urllib3 comes to in gRPC's terms."""
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return Failure("DEADLINE_EXCEEDED", str(error))
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return Failure("FOREIGN", str(error))
    cause = error.args[0] if error.args else error
    return Failure("UNAVAILABLE", repr(getattr(cause, "reason", cause)))
