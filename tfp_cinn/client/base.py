"""The base class of clients of an exported model."""

from __future__ import annotations

import abc
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tfp_cinn.errors import UsageError
from tfp_cinn.export.signatures import shape_text

__all__ = ["UNREADABLE", "Client", "Tensor", "cut"]

# Exceptions from reading a malformed answer.
UNREADABLE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)

_SHOWN = 5  # rows named in a message


class Tensor(NamedTuple):
    """An input or output of a signature.

    Attributes:
        dtype: NumPy's type, `object` for strings.
        shape: with None for any size.
    """

    dtype: np.dtype
    shape: tuple[int | None, ...]

    def fits(self, value: np.ndarray) -> bool:
        """Return whether a value has this shape."""
        return value.ndim == len(self.shape) and all(
            m in (None, n) for n, m in zip(value.shape, self.shape, strict=True)
        )

    def __str__(self) -> str:
        return f"{'string' if self.dtype.kind == 'O' else self.dtype} {shape_text(self.shape)}"


_CARD = {"card": Tensor(np.dtype(object), (None,))}


class Client(abc.ABC):
    """A client of an exported model; `tfp_cinn.client.connect` and `open_local` make one.

        with connect("localhost:8500", model="digits") as client:
            answer = client.predict("log_prob", {"x": x, "cond": [3, 7]})
            nats = answer["log_prob"]

    It reads the model's inputs and outputs from its card, once: if a version with other shapes is
    served later, reconnect. `str(client)` names the server and model.
    """

    def __init__(self):
        self._card: dict[str, Any] | None = None
        self._signatures: dict[str, tuple[dict[str, Tensor], dict[str, Tensor]]] = {}

    def card(self) -> dict[str, Any]:
        """Return the content of the model's `model_card.json`.

        Raises:
            UsageError: if the model can't be reached, or wasn't exported by this package.
        """
        if self._card is None:
            answer = self._answer("card", {"row": np.zeros(1, np.int32)}, _CARD)
            try:
                card = json.loads(answer["card"][0])
                self._signatures = {
                    name: (_tensors(signature["inputs"]), _tensors(signature["outputs"]))
                    for name, signature in card["signatures"].items()
                }
                range(1, card["batch_sizes"][-1])
            except UNREADABLE as error:
                raise UsageError(
                    f"{self}: the model's card can't be read ({cut(repr(error))}); export "
                    "the model with bin/export.py"
                ) from None
            self._card = card
        return self._card

    @property
    def batch_size(self) -> int:
        """The largest number of rows in a request."""
        return self.card()["batch_sizes"][-1]

    def predict(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Answer one request with any number of rows.

        Splits more than `batch_size` rows into batches. Zero rows are answered without the server:
        a batching server pads with copies of the first row.

        Args:
            signature: its name, one of the card's.
            inputs: a value for each input of the signature; dimension 0 is the batch.

        Returns:
            A value for each output; strings as `bytes` in an array of objects.

        Raises:
            UsageError: if signature, names, dtypes or shapes are wrong, the model can't be reached,
                or a row of its answer is NaN or flagged as invalid.
        """
        batch_size = self.batch_size
        if signature not in self._signatures:
            raise UsageError(
                f"{self}: no signature {signature!r}, expected one of {', '.join(self._signatures)}"
            )
        expected, outputs = self._signatures[signature]
        if inputs.keys() != expected.keys():
            raise UsageError(
                f"{signature}: expected the inputs {', '.join(expected)}, got "
                f"{', '.join(inputs) or 'none'}"
            )
        values = {
            key: _checked(f"{signature}: input {key}", inputs[key], tensor)
            for key, tensor in expected.items()
        }
        counts = {key: len(value) for key, value in values.items()}
        if len(set(counts.values())) != 1:
            raise UsageError(f"{signature}: expected inputs of equally many rows, got {counts}")
        rows = next(iter(counts.values()))
        if not rows:
            return {
                key: np.empty((0, *(n or 0 for n in tensor.shape[1:])), tensor.dtype)
                for key, tensor in outputs.items()
            }
        answers = [
            self._answer(
                signature,
                {key: value[start : start + batch_size] for key, value in values.items()},
                outputs,
            )
            for start in range(0, rows, batch_size)
        ]
        answer = {key: np.concatenate([each[key] for each in answers]) for key in outputs}
        bad = ~answer.get("valid", np.ones(rows, bool))
        for value in answer.values():
            if value.dtype.kind == "f":
                bad |= np.isnan(value).any(axis=tuple(range(1, value.ndim)))
        if bad.any():
            numbers = np.flatnonzero(bad)
            shown = ", ".join(map(str, numbers[:_SHOWN])) + ", ..." * (numbers.size > _SHOWN)
            raise UsageError(
                f"{self}: {signature}: {numbers.size} of {rows} rows of the answer aren't numbers "
                f"(row {shown}): their input holds a label out of range, a temperature below 0, "
                "NaN or infinity, or the model can't answer it"
            )
        return answer

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connection, or free the model."""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @abc.abstractmethod
    def _ask(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answer one request of at most `batch_size` rows, or raise a `UsageError`."""

    def _answer(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, Tensor]
    ) -> dict[str, np.ndarray]:
        answer = self._ask(signature, inputs)
        rows = len(next(iter(inputs.values())))
        got = {key: Tensor(value.dtype, value.shape) for key, value in answer.items()}
        if got.keys() != outputs.keys() or not all(
            each.dtype == outputs[key].dtype
            and outputs[key].fits(answer[key])
            and each.shape[0] == rows
            for key, each in got.items()
        ):
            raise UsageError(
                f"{self}: {signature}: expected an answer of {rows} rows of {_text(outputs)}, got "
                f"{_text(got)}; reconnect if the served version changed"
            )
        return answer


def _tensors(side: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the inputs or outputs of a signature from the card."""
    return {
        key: Tensor(np.dtype(object if t["dtype"] == "string" else t["dtype"]), tuple(t["shape"]))
        for key, t in side.items()
    }


def _checked(what: str, value: Any, tensor: Tensor) -> np.ndarray:
    """Return the value of an input in the expected dtype."""
    try:
        value = np.asarray(value)
        with np.errstate(over="ignore"):
            cast = value.astype(tensor.dtype, casting="same_kind" if value.size else "unsafe")
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what}: expected {tensor} ({cut(str(error))})") from None
    if not tensor.fits(cast):
        raise UsageError(f"{what}: expected {tensor}, got {shape_text(value.shape)}")
    if cast.dtype.kind == "i" and (cast != value).any():
        raise UsageError(f"{what}: expected {cast.dtype}, got {value[cast != value][0]}")
    return cast


def cut(message: str, length: int = 300) -> str:
    """Shorten foreign text to one line."""
    message = " ".join(message.split())
    return message if len(message) <= length else message[:length] + "..."


def _text(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{key} {tensor}" for key, tensor in tensors.items())
