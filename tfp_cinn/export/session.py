"""Run a SavedModel as TensorFlow Serving does: its graph in a session, without Python objects.

`tf.saved_model.load` opens models that a server can't run, such as a `tf.Module` that holds Keras
layers. Like the server, this session loads the graph and runs its restore operation, so what fails
there fails here. The file works without the rest of this package, also with another release of
TensorFlow:

    python session.py MODELS/NAME/VERSION    # replays the model's warm-up records
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow_serving.apis import prediction_log_pb2

__all__ = ["WARM_UP", "SavedModelSession", "replay"]

WARM_UP = pathlib.PurePath("assets.extra/tf_serving_warmup_requests")

# A server rejects models with more (WarmupConsts::kMaxNumRecords of TensorFlow Serving).
_MAX_RECORDS = 1000

# Relative to the largest absolute value of an output. Other machines or numbers of threads add up
# in another order.
_TOLERANCE = 1e-3


class SavedModelSession:
    """A SavedModel in a C++ session; thread-safe.

    Attributes:
        signatures: the `SignatureDef` of each signature, by name.

    Raises:
        ValueError: if the model can't be loaded.
    """

    def __init__(self, path: str | os.PathLike):
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        logger = tf.get_logger()
        level = logger.level
        try:
            logger.setLevel("ERROR")  # TensorFlow calls this loader deprecated
            graph = tf.compat.v1.saved_model.load(self._session, ["serve"], os.fspath(path))
        except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
            self._session.close()
            raise ValueError(f"{path}: can't be loaded: {_one_line(error)}") from None
        finally:
            logger.setLevel(level)
        self._session.graph.finalize()
        self.signatures = {
            name: signature
            for name, signature in graph.signature_def.items()
            if not name.startswith("__")
        }

    def predict(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the outputs of a signature by name; strings as `bytes` in an array of objects.

        Args:
            signature: its name.
            inputs: a value for each input; dimension 0 is the batch.

        Raises:
            ValueError: if there is no such signature, or the graph fails.
        """
        if signature not in self.signatures:
            raise ValueError(
                f"no signature {signature!r}, expected one of {', '.join(sorted(self.signatures))}"
            )
        endpoint = self.signatures[signature]
        try:
            return self._session.run(
                {key: info.name for key, info in endpoint.outputs.items()},
                {endpoint.inputs[key].name: value for key, value in inputs.items()},
            )
        except (RuntimeError, TypeError, ValueError, tf.errors.OpError) as error:
            raise ValueError(f"{signature}: {_one_line(error)}") from None

    def close(self) -> None:
        """Free the model's memory; no further requests are possible."""
        self._session.close()

    def __enter__(self) -> SavedModelSession:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def replay(path: str | os.PathLike) -> dict[str, Any]:
    """Load a SavedModel and answer its warm-up records, as a server does at its start.

    Also compares each answer with the one that the exporter put into the record: an output may
    differ by 1e-3 of its largest absolute value.

    Returns:
        `records` (their number), `signatures` (their names), `seconds` of loading and answering,
        and `largest_difference` over all outputs, relative to each one's largest value.

    Raises:
        ValueError: if the model can't be loaded, has no records or more than a server accepts
            (1000), fails to answer one, or gives another answer.
    """
    start = time.perf_counter()
    file = pathlib.Path(path) / WARM_UP
    try:
        content = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
        logs = [prediction_log_pb2.PredictionLog.FromString(each).predict_log for each in content]
    except (tf.errors.OpError, message.DecodeError) as error:
        raise ValueError(f"{file}: can't be read ({_one_line(error)})") from None
    if not 0 < len(logs) <= _MAX_RECORDS:
        raise ValueError(f"{file}: holds {len(logs) or 'no'} records, expected 1 to {_MAX_RECORDS}")
    largest, seen = 0.0, set()
    with SavedModelSession(path) as session:
        for number, log in enumerate(logs):
            signature = log.request.model_spec.signature_name or "serving_default"
            inputs = {key: tf.make_ndarray(t) for key, t in log.request.inputs.items()}
            answer = session.predict(signature, inputs)
            for key, expected in log.response.outputs.items():
                difference = _difference(answer.get(key), tf.make_ndarray(expected))
                if not difference <= _TOLERANCE:
                    raise ValueError(
                        f"{signature}: output {key} of warm-up record {number} differs by "
                        f"{difference:.1g} of its largest value from what the model gave in Python"
                    )
                largest = max(largest, difference)
            seen.add(signature)
    return {
        "records": len(logs),
        "signatures": sorted(seen),
        "seconds": round(time.perf_counter() - start, 3),
        "largest_difference": largest,
    }


def _difference(a: np.ndarray | None, b: np.ndarray) -> float:
    """Return the largest absolute difference over the largest absolute value, or infinity."""
    if a is None or a.shape != b.shape or a.dtype != b.dtype:
        return np.inf
    if a.dtype.kind != "f":
        return 0.0 if (a == b).all() else np.inf
    return float(np.abs(a - b).max() / (np.abs(b).max() or 1.0))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]


if __name__ == "__main__":
    try:
        print(json.dumps(replay(*sys.argv[1:])))
    except ValueError as problem:
        print(problem)  # TensorFlow writes to standard error
        sys.exit(1)
