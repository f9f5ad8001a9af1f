"""Warm-up records: requests that a server answers at its start, with the expected answers."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tfp_cinn.errors import UsageError
from tfp_cinn.export.session import WARM_UP
from tfp_cinn.export.signatures import Signature

__all__ = ["write_warm_up"]


def write_warm_up(
    path: pathlib.Path,
    name: str,
    functions: Mapping[str, tuple[Signature, Callable]],
    batch_sizes: Sequence[int],
    num_classes: int,
) -> None:
    """Write a record for each signature and batch size into a model's folder.

    Without them, a server loads a model whose weights are missing, and fails at every request; with
    them, it refuses the model (and the first requests are as fast as later ones). Servers use only
    the requests; the answers are for `session.replay`.

    Args:
        path: the model's folder.
        name: the name it is served by.
        functions: each served signature with its traced function, by name; `sample` among them.
        batch_sizes: numbers of rows.
        num_classes: labels are drawn below this.

    Raises:
        UsageError: if the model fails, or gives NaN or infinities.
    """
    file = path / WARM_UP
    file.parent.mkdir()
    # TF32 would make a GPU's answers differ from the replay's.
    tf32 = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        with tf.io.TFRecordWriter(str(file)) as writer:
            for rows in batch_sizes:
                values = _inputs(functions, rows, num_classes)
                for served_as, (signature, function) in functions.items():
                    record = prediction_log_pb2.PredictionLog()
                    request = record.predict_log.request
                    request.model_spec.name = name
                    request.model_spec.signature_name = served_as
                    outputs = record.predict_log.response.outputs
                    for each in signature.inputs:
                        request.inputs[each.name].CopyFrom(tf.make_tensor_proto(values[each.name]))
                    for key, value in _answer(signature, function, values).items():
                        outputs[key].CopyFrom(tf.make_tensor_proto(value))
                    writer.write(record.SerializeToString())
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(tf32)


def _inputs(
    functions: Mapping[str, tuple[Signature, Callable]], rows: int, num_classes: int
) -> dict[str, np.ndarray]:
    """Return ordinary values for all inputs by name; x is what `sample` gives for the others."""
    rng = np.random.RandomState(rows)
    values = {}
    for feature in (each for signature, _ in functions.values() for each in signature.inputs):
        shape = (rows, *(feature.example or feature.shape))
        if feature.name == "temperature":
            value = np.ones(shape)
        elif feature.dtype == "int32":
            labels = feature.name.startswith("cond")
            value = rng.randint(0, num_classes if labels else 2**31 - 1, shape)
        else:
            value = rng.uniform(size=shape) if feature.example else rng.standard_normal(shape)
        values[feature.name] = value.astype(feature.dtype)
    return values | _answer(*functions["sample"], values)


def _answer(
    signature: Signature, function: Callable, values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    inputs = [tf.constant(values[feature.name]) for feature in signature.inputs]
    try:
        answer = {key: t.numpy() for key, t in function(*inputs).items()}
    except tf.errors.OpError as error:
        raise UsageError(
            f"{signature.name}: the model fails for {len(inputs[0])} rows of ordinary inputs "
            f"({' '.join(error.message.split())[:300]}); if memory ran out, give smaller "
            "batch_sizes"
        ) from None
    for key, value in answer.items():
        good = value if key == "valid" else value.dtype == object or np.isfinite(value)
        if not np.all(good):
            raise UsageError(
                f"{signature.name}: the model gives NaN or infinite values for ordinary inputs; "
                "train it further, or with a smaller learning rate"
            )
    return answer
