"""Warm-up records: requests that a server answers at its start, with the expected answers."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from google.protobuf import message

from tfp_cinn.errors import UsageError
from tfp_cinn.export.publish import writing_by_tensorflow
from tfp_cinn.export.session import NEEDS_API, WARM_UP
from tfp_cinn.export.signatures import Feature, Signature

__all__ = ["measured_rounding", "write_warm_up"]


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
        functions: each served signature with its traced function, `sample` first.
        batch_sizes: numbers of rows.
        num_classes: labels are drawn below this.

    Raises:
        OSError: if they can't be written.
        UsageError: if the model fails, gives NaN or infinities, or tensorflow-serving-api is
            missing.
    """
    file = path / WARM_UP
    file.parent.mkdir()
    records = _records(name, functions, batch_sizes, num_classes)
    with (
        _full_precision(),
        writing_by_tensorflow(),
        tf.io.TFRecordWriter(str(file)) as writer,
    ):
        for record in records:
            writer.write(record)


def _records(
    name: str,
    functions: Mapping[str, tuple[Signature, Callable]],
    batch_sizes: Sequence[int],
    num_classes: int,
) -> Iterator[bytes]:
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError:
        raise UsageError(f"export: {NEEDS_API}") from None
    for rows in batch_sizes:
        values = _inputs(functions["sample"], rows, num_classes)
        for served_as, (signature, function) in functions.items():
            record = prediction_log_pb2.PredictionLog()
            request = record.predict_log.request
            request.model_spec.name = name
            request.model_spec.signature_name = served_as
            inputs = [_value(feature, values, rows) for feature in signature.inputs]
            for feature, value in zip(signature.inputs, inputs, strict=True):
                request.inputs[feature.name].CopyFrom(_proto(value))
            for key, value in _answer(signature, function, inputs).items():
                record.predict_log.response.outputs[key].CopyFrom(_proto(value))
            try:
                yield record.SerializeToString()
            except message.EncodeError:
                raise UsageError(
                    f"batch_sizes: a request of {rows} rows with its answer is over 2 GiB, too "
                    "large for a server; give smaller ones"
                ) from None


def measured_rounding(
    sample: tuple[Signature, Callable], rows: int, num_classes: int
) -> dict[str, float] | None:
    """Measure how much a row of `sample` depends on its batch.

    The difference of row k is max |x_k alone - x_k in the batch| / max |x_k in the batch|, over the
    dimensions of x. The cause is rounding: the order of summation in matrix products depends on the
    number of rows, and the flow amplifies the difference where it is nearly singular.

    Args:
        sample: the signature and its traced function.
        rows: rows of the batch.
        num_classes: labels are drawn below this.

    Returns:
        `batch` (the rows), and the `median` and `largest` difference; None for a batch of one.

    Raises:
        UsageError: if the model fails or gives NaN or infinities.
    """
    if rows == 1:
        return None
    signature, function = sample
    with _full_precision():
        values = _inputs(sample, rows, num_classes)
        together = values[signature.output.name].reshape(rows, -1)
        inputs = [values[feature.name] for feature in signature.inputs]
        alone = [
            _answer(signature, function, [v[k : k + 1] for v in inputs])[signature.output.name]
            for k in range(rows)
        ]
    differences = np.abs(np.reshape(alone, together.shape) - together).max(axis=1)
    scale = np.abs(together).max(axis=1)
    differences /= np.where(scale, scale, 1)
    return {
        "batch": rows,
        "median": float(np.median(differences)),
        "largest": float(differences.max()),
    }


def _answer(
    signature: Signature, function: Callable, inputs: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    try:
        answer = {key: t.numpy() for key, t in function(*map(tf.constant, inputs)).items()}
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


@contextlib.contextmanager
def _full_precision() -> Iterator[None]:
    """Disable TF32, which would make a GPU's answers differ from the replay's."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _inputs(
    sample: tuple[Signature, Callable], rows: int, num_classes: int
) -> dict[str, np.ndarray]:
    """Return input values by name for `sample`, and its x."""
    signature, function = sample
    rng = np.random.RandomState(rows)
    values = {"temperature": np.ones(rows, signature.output.dtype)}
    values["seed"] = rng.randint(0, 2**31 - 1, (rows, 2)).astype(np.int32)
    for feature in signature.inputs:
        if feature.name not in values:
            shape = (rows, *feature.shape)
            values[feature.name] = (
                rng.standard_normal(shape) if feature.shape else rng.randint(0, num_classes, shape)
            ).astype(feature.dtype)
    return values | _answer(signature, function, [values[f.name] for f in signature.inputs])


def _value(feature: Feature, values: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    if feature.name in values:
        return values[feature.name]
    rng = np.random.RandomState(rows + 1)
    if feature.example is not None:
        return rng.uniform(size=(rows, *feature.example)).astype(feature.dtype)
    return rng.standard_normal((rows, *feature.shape)).astype(feature.dtype)


def _proto(value: np.ndarray) -> tf.compat.v1.TensorProto:
    """Make a tensor proto with numbers stored as bytes, the most compact form."""
    proto = tf.make_tensor_proto(value)
    if value.dtype != object:
        proto = type(proto)(dtype=proto.dtype, tensor_shape=proto.tensor_shape)
        proto.tensor_content = value.tobytes()
    return proto
