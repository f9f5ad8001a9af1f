"""Export as StableHLO, which JAX runs on its device without TensorFlow.

    exported = jax.export.deserialize(bytearray(pathlib.Path("sample-16.jax").read_bytes()))
    answer = jax.jit(exported.call)(dict(np.load("weights.npz")), inputs)

See docs/gpu.md.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tfp_cinn.errors import UsageError
from tfp_cinn.export.signatures import Signature
from tfp_cinn.model import CINN

__all__ = ["lower", "named_weights", "with_weights", "write_stablehlo"]


def write_stablehlo(
    path: pathlib.Path, model: CINN, served: Sequence[Signature], batch_sizes: Sequence[int]
) -> None:
    """Write `weights.npz` and `SIGNATURE-ROWS.jax`, a function for each signature and batch size.

    Each is a serialized `jax.export.Exported`: f(weights, inputs) -> outputs, dicts of arrays.
    Products are of full float32 precision also where a GPU would round their factors (TF32).

    Args:
        path: folder to make.
        model: the model.
        served: its signatures; those of images of any size are left out, since the shapes in
            StableHLO are fixed.
        batch_sizes: numbers of rows.

    Raises:
        UsageError: if JAX isn't installed.
    """
    path.mkdir()
    weights = named_weights(model)
    np.savez(path / "weights.npz", **{name: w.numpy() for name, w in weights.items()})
    specs = {name: tf.TensorSpec(w.shape, w.dtype) for name, w in weights.items()}
    for signature in served:
        if any(None in feature.shape for feature in signature.inputs):
            continue

        def function(weights, inputs, signature=signature):
            with with_weights(model, weights):
                return signature(*(inputs[feature.name] for feature in signature.inputs))

        for rows in batch_sizes:
            inputs = {f.name: tf.TensorSpec([rows, *f.shape], f.dtype) for f in signature.inputs}
            (path / f"{signature.name}-{rows}.jax").write_bytes(lower(function, specs, inputs))


def named_weights(model: keras.Model) -> dict[str, tf.Variable]:
    """Return all weights under names that sort in their order."""
    return {f"{number:05}": w.value for number, w in enumerate(model.weights)}


def with_weights(model: keras.Model, weights: Mapping[str, tf.Tensor]) -> keras.StatelessScope:
    """Return a context in which the model computes with these weights, named as above."""
    values = [weights[name] for name in sorted(weights)]
    return keras.StatelessScope(list(zip(model.weights, values, strict=True)))


def lower(function: Callable, *specs: Any) -> bytes:
    """Compile a function of tensors to StableHLO, as a serialized `jax.export.Exported`.

    Args:
        function: doesn't read or change variables.
        *specs: `tf.TensorSpec`s of its arguments, of known shapes, or dicts or lists of them.

    Raises:
        UsageError: if JAX isn't installed.
    """
    try:
        import jax
        from jax.experimental import jax2tf
    except ImportError:
        raise UsageError(
            'StableHLO: expected JAX to be installed; pip install "tfp-cinn[jax]"'
        ) from None
    call = jax.jit(jax2tf.call_tf(function, has_side_effects=False))
    arguments = tf.nest.map_structure(
        lambda spec: jax.ShapeDtypeStruct(tuple(spec.shape), spec.dtype.as_numpy_dtype), specs
    )
    # What TensorFlow lowers for one platform serves any: it has no custom calls.
    anywhere = [jax.export.DisabledSafetyCheck.platform()]
    tf32 = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # JAX warns of constants, and prints them
    try:
        exported = jax.export.export(call, platforms=["cpu"], disabled_checks=anywhere)(*arguments)
    finally:
        logging.set_verbosity(verbosity)
        tf.config.experimental.enable_tensor_float_32_execution(tf32)
    return bytes(exported.serialize())
