"""A client by REST: JSON over HTTP."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np
import requests
import urllib3

from tfp_cinn.client.address import RETRIES, Address
from tfp_cinn.client.base import UNREADABLE, Client, Tensor

__all__ = ["RestClient"]

_CODES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 503: "UNAVAILABLE"}


class RestClient(Client):
    """Asks a server by REST.

    Source: TensorFlow Serving's "RESTful API". NaN and infinities, which JSON lacks, are written
    `NaN` and `Infinity`, as the server and Python's `json` do.
    """

    def __init__(self, address: Address):
        super().__init__()
        self._address = address
        scheme = "https" if address.tls else "http"
        path = f"/v1/models/{urllib.parse.quote(address.model, safe='')}"
        if address.version is not None:
            path += f"/versions/{address.version}"
        if address.label is not None:
            path += f"/labels/{urllib.parse.quote(address.label, safe='')}"
        self._url = f"{scheme}://{address.server}{path}:predict"
        retries = urllib3.Retry(
            RETRIES,
            read=False,  # don't retry timeouts
            redirect=0,
            allowed_methods=None,  # also POST: no request changes anything on the server
            status_forcelist=[503],
            backoff_factor=0.2,
            raise_on_status=False,
        )
        self._session = requests.Session()
        self._session.mount(f"{scheme}://", requests.adapters.HTTPAdapter(max_retries=retries))

    def __str__(self) -> str:
        return str(self._address)

    def _ask(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, Tensor]
    ) -> dict[str, np.ndarray]:
        values = {key: value.tolist() for key, value in inputs.items()}
        timeout = self._address.timeout
        try:
            response = self._session.post(
                self._url,
                # Not by the argument `json`, which refuses infinities.
                data=json.dumps({"signature_name": signature, "inputs": values}),
                headers={"Content-Type": "application/json"},
                # Applies to connecting, for each attempt, and to each pause between bytes.
                timeout=(timeout / (1 + RETRIES), timeout),
                allow_redirects=False,
            )
        except requests.Timeout as error:
            raise self._address.failed("DEADLINE_EXCEEDED", str(error)) from None
        except requests.RequestException as error:
            raise self._address.failed("UNAVAILABLE", str(error)) from None
        status = response.status_code
        try:
            answer = response.json()
            if response.ok:
                values = answer["outputs"]
                # The server omits the name of a single output.
                values = {next(iter(outputs)): values} if len(outputs) == 1 else values
                return {key: _array(values[key], tensor.dtype) for key, tensor in outputs.items()}
            code, said = _CODES.get(status, f"HTTP {status}"), str(answer["error"])
        except UNREADABLE:  # TensorFlow Serving gives its reasons in JSON
            code, said = f"HTTP {status}", "not the JSON of a server"
        raise self._address.failed(code, said)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


def _array(value: Any, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "O":
        return np.array([text.encode() for text in value], object)
    return np.asarray(value).astype(dtype, casting="same_kind")
