"""Asking a server by REST: JSON over HTTP."""

from __future__ import annotations

import json
import random
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import requests
import urllib3

from tfp_cinn.client.server_client import ATTEMPTS, ServerClient, VersionStatus
from tfp_cinn.errors import UsageError
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

    def _ask(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, Tensor]
    ) -> dict[str, np.ndarray]:
        values = {key: value.tolist() for key, value in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": values}).encode()
        if len(body) > self._max_bytes:
            raise self._too_large(f"the request has {len(body)} bytes")
        path = ""
        if self._version is not None:
            path = f"/versions/{self._version}"
        if self._label is not None:
            path = f"/labels/{_quoted(self._label)}"
        content = self._content(self._exchange("POST", f"{path}:predict", body))
        try:
            values = content["outputs"]
            # A single output comes without its name.
            values = {next(iter(outputs)): values} if len(outputs) == 1 else values
            return {key: _array(value, outputs[key].dtype) for key, value in values.items()}
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise UsageError(
                f"{self}: {signature}: the answer can't be read ({error!r}); check what answers "
                "there"
            ) from None

    def _versions(self) -> list[VersionStatus]:
        answer = self._exchange("GET", "")
        if answer.status == 404:
            return []
        try:
            return [
                VersionStatus(int(v["version"]), v["state"], v["status"].get("error_message", ""))
                for v in self._content(answer)["model_version_status"]
            ]
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise UsageError(f"{self}: can't read the model's status ({error!r})") from None

    def _content(self, answer: _Answer) -> dict[str, Any]:
        """The JSON object of an answer."""
        try:
            content = json.loads(answer.body)
        except ValueError:
            content = None
        if answer.status == 200 and isinstance(content, dict):
            return content
        if isinstance(content, dict) and "error" in content:
            raise self._failure(
                _CODES.get(answer.status, f"HTTP {answer.status}"), str(content["error"])
            )
        said = f"HTTP {answer.status}, {answer.kind or 'no content type'}"
        if answer.status == 413:
            raise self._too_large(said)
        if answer.status in (429, 503, 504):
            raise self._failure(_CODES[answer.status], said)
        raise self._foreign(said)

    def _exchange(self, method: str, path: str, body: bytes | None = None) -> _Answer:
        """Sends a request, again if need be, all within the timeout.

        urllib3's Retry and the timeouts of requests know attempts, and pauses between bytes, but
        no deadline of all that.
        """
        scheme = "https" if self._tls else "http"
        url = f"{scheme}://{self._server}/v1/models/{_quoted(self._model)}{path}"
        deadline = time.monotonic() + self._timeout
        for attempt in range(ATTEMPTS):
            answer = failure = None
            try:
                answer = self._attempt(method, url, body, deadline)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                failure = error
            pause = self._pause * 2**attempt * random.uniform(0.8, 1.2)
            again = _is_passing(failure) if failure else answer.status == 503
            if not again or attempt == ATTEMPTS - 1 or time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
        if answer:
            return answer
        if isinstance(failure, requests.Timeout) or "timed out" in str(failure):
            raise self._failure("DEADLINE_EXCEEDED", str(failure))
        cause = failure.args[0] if failure.args else failure
        raise self._away(repr(getattr(cause, "reason", cause)))

    def _attempt(self, method: str, url: str, body: bytes | None, deadline: float) -> _Answer:
        with self._session.request(
            method,
            url,
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=max(deadline - time.monotonic(), 1e-3),
            allow_redirects=False,
            stream=True,
        ) as response:
            content = bytearray()
            for chunk in response.iter_content(_CHUNK):
                content += chunk
                if len(content) > self._max_bytes:
                    raise self._too_large("the answer")
                if time.monotonic() > deadline:
                    raise requests.Timeout
            kind = response.headers.get("Content-Type", "").partition(";")[0]
            return _Answer(response.status_code, kind, bytes(content))

    def close(self) -> None:
        """Lets go of the connection."""
        self._session.close()


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _array(value: Any, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "O":
        return np.array([text.encode() for text in value], object)
    array = np.asarray(value)
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        raise TypeError(f"{array.dtype} instead of {dtype}")
    return array.astype(dtype)


def _is_passing(error: Exception) -> bool:
    """Whether the same request may do later."""
    if isinstance(error, requests.Timeout | requests.exceptions.SSLError):
        return False
    lasting = ("NameResolution", "BadStatusLine", "timed out")
    broken = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
    return isinstance(error, broken) and not any(text in repr(error) for text in lasting)
