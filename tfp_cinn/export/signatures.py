"""The signatures of an exported model: functions of tensors with a batch of rows.

Dimension 0 of every input and output is the batch, of any size. A row of the output depends only on
the same row of the inputs, up to rounding: the order of summation in matrix products changes with
the batch size.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfp_cinn.bijectors.shapes import Shape
from tfp_cinn.distribution import scaled
from tfp_cinn.errors import UsageError
from tfp_cinn.latent.noise import noise
from tfp_cinn.model import CINN

__all__ = ["Feature", "Signature", "card_signature", "noise", "shape_text", "signatures"]


def shape_text(shape: Sequence[int | None]) -> str:
    """Format a shape for messages and cards, `[N, H, W, 1]`, with letters for any size."""
    letters = ("N", "H", "W", *"?" * len(shape))
    sizes = (m if n is None else str(n) for n, m in zip(shape, letters, strict=False))
    return f"[{', '.join(sizes)}]"


@dataclasses.dataclass(frozen=True)
class Feature:
    """One input or output of a signature.

    Attributes:
        name: its name for clients.
        dtype: TensorFlow's name of its type.
        shape: shape of one row, with None for any size.
        meaning: what it is, with its unit.
        example: shape of a row in the warm-up records, if `shape` has None.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    meaning: str
    example: Shape | None = None

    @property
    def spec(self) -> tf.TensorSpec:
        """Spec of a batch of any size."""
        return tf.TensorSpec([None, *self.shape], self.dtype, self.name)


_VALID = Feature("valid", "bool", (), "whether the row is an answer; 0 stands in one that is not")


@dataclasses.dataclass(frozen=True)
class Signature:
    """One kind of request to an exported model.

    Attributes:
        name: its name for clients.
        meaning: what it computes.
        inputs: its inputs.
        output: its output.
        function: function of the input tensors, in their order.
        flags_bad_rows: whether rows of the output with NaN or infinity become 0, flagged by a
            second output, `valid`; JSON has no NaN.
    """

    name: str
    meaning: str
    inputs: tuple[Feature, ...]
    output: Feature
    function: Callable[..., tf.Tensor]
    flags_bad_rows: bool = False

    @property
    def outputs(self) -> tuple[Feature, ...]:
        """The outputs, including the flag of bad rows."""
        return (self.output, _VALID) if self.flags_bad_rows else (self.output,)

    @property
    def specs(self) -> list[tf.TensorSpec]:
        """The specs of the inputs."""
        return [feature.spec for feature in self.inputs]

    def __call__(self, *inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the outputs by name, as a SavedModel's function must."""
        rows = tf.shape(inputs[0])[0]
        # TensorFlow's convolutions (oneDNN) fail on an empty batch: add a row.
        missing = tf.maximum(1 - rows, 0)
        inputs = [tf.pad(t, [[0, missing], *[[0, 0]] * (t.shape.rank - 1)]) for t in inputs]
        output = self.function(*inputs)[:rows]
        if not self.flags_bad_rows:
            return {self.output.name: output}
        event = list(range(1, output.shape.rank))
        valid = tf.reduce_all(tf.math.is_finite(output), axis=event)
        zeroed = tf.where(tf.reshape(valid, [-1] + [1] * len(event)), output, 0)
        return {self.output.name: zeroed, _VALID.name: valid}


def signatures(model: CINN, x_meaning: str, cond_meaning: str) -> list[Signature]:
    """Return the signatures that compute; the first is the server's default.

    A bad row (a label out of range, a NaN in x, z or the condition, a temperature that is negative
    or not finite) becomes all NaN and doesn't affect other rows.

    Args:
        model: the model.
        x_meaning: what x is, with its unit.
        cond_meaning: what the condition is.

    Raises:
        UsageError: if the name of a part of the condition is unsuitable for an input.
    """
    dist = model.distribution
    dtype = dist.dtype.name
    latent_shape = model.bijector.latent_shape
    cond, pack = _condition(model, cond_meaning)
    x = Feature("x", dtype, model.event_shape, x_meaning)
    z = Feature("z", dtype, latent_shape, "latents, N(0, I)")
    seed = Feature("seed", "int32", (2,), "any two integers; the same give the same x")
    temperature = Feature("temperature", dtype, (), "factor on the latents, 0 or more; 1 for p")

    def sample(*inputs):
        *parts, seeds, temperatures = inputs
        latents = scaled(noise(seeds, latent_shape, dtype), temperatures, len(latent_shape))
        return dist.decode(latents, pack(parts))

    return [
        Signature("sample", "draws x from p(x | cond)", (*cond, seed, temperature), x, sample),
        Signature(
            "log_prob",
            "log p(x | cond)",
            (x, *cond),
            Feature("log_prob", dtype, (), "nats, of a density in the units of x"),
            lambda x, *parts: dist.log_prob(x, pack(parts)),
        ),
        Signature(
            "encode",
            "z = f^-1(x; cond)",
            (x, *cond),
            z,
            lambda x, *parts: dist.encode(x, pack(parts)),
        ),
        Signature(
            "decode",
            "x = f(z; cond)",
            (z, *cond),
            x,
            lambda z, *parts: dist.decode(z, pack(parts)),
        ),
    ]


def card_signature(card: str) -> Signature:
    """Make the signature that tells clients what is served.

    Args:
        card: the text of the card.
    """
    return Signature(
        "card",
        "describes the model",
        (Feature("row", "int32", (), "any integer, one for each copy"),),
        Feature("card", "string", (), "the content of model_card.json"),
        lambda row: tf.fill(tf.shape(row), card),
    )


def _condition(model: CINN, meaning: str) -> tuple[list[Feature], Callable]:
    """Return the inputs of the condition, and the function from their tensors to the condition."""
    shape = model.cond_shape
    if shape is None:
        return [], lambda parts: None
    if isinstance(shape, dict):
        keys = list(shape)
        names = [f"cond_{key}".lower() for key in keys]  # TensorFlow lowercases them too
        for key, name in zip(keys, names, strict=True):
            if not re.fullmatch(r"cond_\w+", name, re.ASCII) or names.count(name) > 1:
                raise UsageError(
                    f"cond_shape: the part {key!r} would be the input {name!r} of the exported "
                    "model; expected names of letters, digits and '_' that differ in small letters"
                )
        features = [
            _part(name, shape[key], model, f"{meaning}, {key}")
            for key, name in zip(keys, names, strict=True)
        ]
        return features, lambda parts: dict(zip(keys, parts, strict=True))
    return [_part("cond", shape, model, meaning)], lambda parts: parts[0]


def _part(name: str, shape: Shape, model: CINN, meaning: str) -> Feature:
    dtype = model.distribution.dtype.name if shape else np.dtype(np.int32).name
    return Feature(name, dtype, tuple(shape), meaning)
