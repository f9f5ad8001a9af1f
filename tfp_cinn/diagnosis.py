"""What went wrong when a likelihood is not finite."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_cinn.bijectors import Chain, ConditionalBijector
from tfp_cinn.distribution import ConditionalTransformedDistribution
from tfp_cinn.errors import UsageError

__all__ = ["first_non_finite", "off_scale"]


def first_non_finite(
    distribution: ConditionalTransformedDistribution,
    x: tf.Tensor,
    cond: Any,
    bad_gradients: Sequence[keras.Variable] = (),
) -> str:
    """Say in one line what turned NaN or infinite first, from x to log p(x | cond) and back.

    Runs in eager mode, with x `[N, *event]` and the weights whose gradients aren't finite.
    """
    rows = _bad_rows(x)
    if rows:
        return f"the data x hold NaN or infinite values in {rows}; clean or drop them"
    bad = [v.name for v in distribution.trainable_variables if not _finite(v)]
    if bad:
        return f"the weight {bad[0]} is NaN or infinite; go back to a good checkpoint"
    parts = cond if isinstance(cond, Mapping) else {"cond": cond}
    for name, part in parts.items():
        if part is not None and part.dtype.is_floating and (rows := _bad_rows(part)):
            return f"the condition {name} holds NaN or infinite values in {rows}"
    features = distribution.features(cond)
    if not all(_finite(f) for f in tf.nest.flatten(features) if f is not None):
        return "the conditioner's output is the first to be NaN or infinite"
    try:
        name = _first_non_finite_bijector(distribution.bijector, x, features)
    except UsageError as error:  # such as a value outside of the support, found in eager mode
        return str(error)
    if name:
        return (
            f"{name} is the first bijector with a NaN or infinite output; lower the learning rate"
        )
    if tf.reduce_all(tf.math.is_finite(distribution.log_prob(x, cond))) and bad_gradients:
        return _first_non_finite_gradient(distribution.bijector, bad_gradients)
    return "the squared latents overflow; lower the learning rate"


def off_scale(
    bijector: ConditionalBijector,
    x: tf.Tensor,
    features: Any,
    most: float,
    tails: bool = False,
) -> str | None:
    """Say in one line that data are far from mean 0 and standard deviation 1, or return None.

    x is looked at as the first member sees it that depends on the condition, thus after a leading
    `Standardize` or `ActNorm`. Their size, the largest absolute value for `tails` and otherwise the
    root mean square, may be up to `most`.
    """
    what = "values up to" if tails else "a root mean square of"
    advice = (
        "standardize it (bijectors.Standardize(mean, std) first in the chain, after a logarithm if "
        "it has heavy tails)"
    )
    try:
        candidates = [("x", _taken_up(bijector, x), advice)]
    except UsageError:  # such as a value outside a bound, which is the better reason
        return None
    candidates += [("the condition", part, "standardize it") for part in tf.nest.flatten(features)]
    for name, part, advice in candidates:
        if part is None or not part.dtype.is_floating:
            continue
        part = tf.abs(tf.cast(part, tf.float64))
        size = tf.reduce_max(part) if tails else tf.sqrt(tf.reduce_mean(part**2))
        if most < size < math.inf:
            return (
                f"{name} has {what} {float(size):.3g} where the flow takes it up, and should have "
                f"a standard deviation of about 1; {advice}"
            )
    return None


def _taken_up(bijector: ConditionalBijector, x: tf.Tensor) -> tf.Tensor:
    """What the first member that depends on the condition gets of x."""
    for member, its_x, _ in bijector.inverse_steps(x, None):
        if member.conditional:
            return _taken_up(member, its_x) if isinstance(member, Chain) else its_x
    return x


def _first_non_finite_gradient(bijector: ConditionalBijector, bad: Sequence[keras.Variable]) -> str:
    """Name the bijector nearest to the latents that has a weight with a bad gradient."""
    values = {id(w.value) for w in bad}
    found = [
        path
        for path, leaf in _leaves(bijector, "")
        if any(id(v) in values for v in leaf.trainable_variables)
    ]
    where = found[-1] if found else "the conditioner"
    return (
        f"the gradient of {len(bad)} weights is NaN or infinite, on the way back first in {where}; "
        "lower the learning rate or clip the gradient"
    )


def _leaves(bijector: ConditionalBijector, path: str) -> Iterator[tuple[str, ConditionalBijector]]:
    """All bijectors that hold no others, from x to the latents."""
    members = bijector.members()
    for index, member in enumerate(members):
        yield from _leaves(member, f"{path}{bijector.label(index)}.")
    if not members:
        yield f"{path}{bijector.label()}", bijector


def _finite(t: tf.Tensor) -> bool:
    return bool(tf.reduce_all(tf.math.is_finite(t)))


def _bad_rows(t: tf.Tensor) -> str:
    """Name the rows of t with a NaN or infinity; empty if there are none."""
    finite = tf.reduce_all(tf.math.is_finite(tf.reshape(t, [tf.shape(t)[0], -1])), axis=1)
    rows = tf.where(~finite)[:, 0].numpy()
    if not rows.size:
        return ""
    return f"{rows.size} of its {finite.shape[0]} rows (the first is row {rows[0]})"


def _first_non_finite_bijector(
    bijector: ConditionalBijector, x: tf.Tensor, cond: Any, path: str = ""
) -> str | None:
    """Path of the first bijector whose output or log-determinant is not finite, or None."""
    if not bijector.members():
        good = all(_finite(t) for t in bijector.inverse_and_log_det(x, cond))
        return None if good else f"{path}{bijector.label()}"
    for index, (member, its_x, its_cond) in enumerate(bijector.inverse_steps(x, cond)):
        here = f"{path}{bijector.label(index)}"
        if not all(_finite(f) for f in tf.nest.flatten(its_cond) if f is not None):
            return f"the network of {here}"
        if found := _first_non_finite_bijector(member, its_x, its_cond, f"{here}."):
            return found
    return None
