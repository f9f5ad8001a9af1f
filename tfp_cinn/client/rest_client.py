"""A client by REST: JSON over HTTP."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np
import requests
import urllib3

from tfp_cinn.client.base import UNREADABLE, Tensor, cut
from tfp_cinn.client.server_client import RETRIES, ServerClient

__all__ = ["RestClient"]

_CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class RestClient(ServerClient):
    """Asks a server by REST; see `tfp_cinn.client.connect` for the arguments.

    Source: TensorFlow Serving's "RESTful API". NaN and infinities, which JSON lacks, are written
    `NaN` and `Infinity`, as the server and Python's `json` do.
    """

    def __init__(self, *args: Any):
        super().__init__(*args)
        path = f"/v1/models/{urllib.parse.quote(self._model, safe='')}"
        if self._version is not None:
            path += f"/versions/{self._version}"
        if self._label is not None:
            path += f"/labels/{urllib.parse.quote(self._label, safe='')}"
        self._url = f"{'https' if self._tls else 'http'}://{self._server}{path}:predict"
        retries = urllib3.Retry(
            RETRIES,
            read=False,  # don't retry timeouts
            redirect=0,
            allowed_methods=None,  # also POST: no request changes anything on the server
            status_forcelist=[503],
            backoff_factor=0.2,
            raise_on_status=False,
            raise_on_redirect=False,
        )
        self._session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(max_retries=retries)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def _ask(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, Tensor]
    ) -> dict[str, np.ndarray]:
        values = {key: value.tolist() for key, value in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": values})
        try:
            response = self._session.post(
                self._url,
                data=body,
                headers={"Content-Type": "application/json"},
                # Applies to connecting, for each attempt, and to each pause between bytes.
                timeout=(self._timeout / (1 + RETRIES), self._timeout),
                allow_redirects=False,
            )
        except requests.Timeout as error:
            raise self._failed("DEADLINE_EXCEEDED", str(error)) from None
        except requests.RequestException as error:
            raise self._failed("UNAVAILABLE", str(error)) from None
        code = _CODES.get(response.status_code, f"HTTP {response.status_code}")
        try:
            answer = response.json()
            if response.ok:
                values = answer["outputs"]
                # The server omits the name of a single output.
                values = {next(iter(outputs)): values} if len(outputs) == 1 else values
                return {key: _array(values[key], tensor.dtype) for key, tensor in outputs.items()}
            said = str(answer["error"])
        except UNREADABLE as error:
            if response.status_code == 404:
                code = "HTTP 404"  # TensorFlow Serving gives its reason in JSON
            said = f"HTTP {response.status_code}, {cut(repr(error), 100)}"
        raise self._failed(code, said)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


def _array(value: Any, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "O":
        return np.array([text.encode() for text in value], object)
    return np.asarray(value).astype(dtype, casting="same_kind")
