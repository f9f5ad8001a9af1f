"""Gradients of encoding without its activations: the backward pass rebuilds them from z."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_cinn.bijectors.shapes import leaves
from tfp_cinn.errors import UsageError

__all__ = [
    "BOUND",
    "Pass",
    "WeightGradients",
    "add_up",
    "after",
    "recomputing",
    "reconstruction_errors",
    "too_large",
    "vjp_by_decoding",
]

BOUND = 1e-2
"""Largest reconstruction error, a share of the range of x, with which gradients are used."""

Gradient = tf.Tensor | None
Pass = Callable[[tf.Tensor, Any], tuple[tf.Tensor, tf.Tensor]]

_watched: contextvars.ContextVar[list[tf.Tensor] | None] = contextvars.ContextVar(
    "reconstruction_errors", default=None
)


def too_large(error: float) -> str:
    """Say in one line that gradients can't be trusted."""
    return (
        f"the backward pass rebuilt x from z with an error of {float(error):.2g} of its range, "
        f'more than the {BOUND:g} that memory="recompute" allows; use memory="store", or keep the '
        "flow better conditioned (a smaller clamp, fewer blocks, subnets in float32)"
    )


@contextlib.contextmanager
def reconstruction_errors() -> Iterator[list[tf.Tensor]]:
    """Collect max|x rebuilt - x| / (max x - min x) of each backward pass within in a list.

    The caller checks them. Elsewhere a backward pass checks its own error, and raises.
    """
    errors: list[tf.Tensor] = []
    token = _watched.set(errors)
    try:
        yield errors
    finally:
        _watched.reset(token)


def add_up(first: Sequence[Gradient], second: Sequence[Gradient]) -> list[Gradient]:
    """Add gradients, None standing for zero."""
    return [
        b if a is None else a if b is None else a + b for a, b in zip(first, second, strict=True)
    ]


def after(tensor: tf.Tensor, others: Sequence[Gradient]) -> tf.Tensor:
    """Return the same tensor once the others are computed, so that activations come one by one."""
    with tf.control_dependencies([t for t in others if t is not None]):
        return tf.identity(tensor)


class WeightGradients:
    """Gradients with respect to weights, added up over a backward pass."""

    def __init__(self):
        self._sums: dict[Any, tf.Tensor] = {}

    def pull_back(
        self,
        tape: tf.GradientTape,
        outputs: Sequence[tf.Tensor],
        gradients: Sequence[Gradient],
        sources: Sequence[tf.Tensor],
    ) -> list[Gradient]:
        """Take gradients of a tape's outputs back to its sources and to the weights it watched.

        Those of the sources are returned, not before those of the weights are there.
        """
        pairs = [(t, g) for t, g in zip(outputs, gradients, strict=True) if g is not None]
        if not pairs:
            return [None] * len(sources)
        outputs, gradients = zip(*pairs, strict=True)
        weights = tape.watched_variables()
        found = tape.gradient(list(outputs), [*sources, *weights], list(gradients))
        sums = []
        for weight, gradient in zip(weights, found[len(sources) :], strict=True):
            if gradient is not None:
                key, gradient = weight.ref(), tf.convert_to_tensor(gradient)
                self._sums[key] = self._sums[key] + gradient if key in self._sums else gradient
                sums.append(self._sums[key])
        return [None if g is None else after(g, sums) for g in found[: len(sources)]]

    def of(self, weight: tf.Variable) -> Gradient:
        """Return the gradient with respect to a weight; None if it has no path to the loss."""
        return self._sums.get(weight.ref())


def vjp_by_decoding(
    bijector: Any,
    z: tf.Tensor,
    cond: Any,
    z_gradient: tf.Tensor,
    log_det_gradient: tf.Tensor,
    weights: WeightGradients,
) -> tuple[tf.Tensor, tf.Tensor, list[Gradient]]:
    """`ConditionalBijector._inverse_vjp` of anything: decodes z, and encodes the result again."""
    x = bijector._forward_and_log_det(z, cond)[0]
    sources = [x, *leaves(cond)]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        outputs = bijector._inverse_and_log_det(x, cond)
    x_gradient, *cond_gradients = weights.pull_back(
        tape, outputs, (z_gradient, log_det_gradient), sources
    )
    return x, x_gradient, cond_gradients


def recomputing(bijector: Any) -> Pass:
    """Return a bijector's `_inverse_and_log_det` with a backward pass that is given z alone.

    That goes through the members from the latent to the data side, rebuilds what each was given by
    decoding, and takes the gradient from there (`_inverse_vjp`), so that the activations of one
    member at a time are held: Gomez, Ren, Urtasun and Grosse, "The Reversible Residual Network",
    arXiv 1707.04585. Networks run in it as they ran before: in the same mode, with the same random
    numbers, their running averages left alone.
    """

    def run(x, cond):
        @tf.custom_gradient
        def encode(x, *parts):
            cond_again = None if cond is None else tf.nest.pack_sequence_as(cond, parts)
            states = _random_states(bijector)
            mode = _Mode()
            z, log_det = mode(x, run=lambda: bijector._inverse_and_log_det(x, cond_again))

            def gradient(z_gradient, log_det_gradient, variables=None):
                weights = WeightGradients()

                def backward():
                    with keras.StatelessScope(states):
                        return bijector._inverse_vjp(
                            after(z, [z_gradient, log_det_gradient]),
                            cond_again,
                            z_gradient,
                            log_det_gradient,
                            weights,
                        )

                rebuilt, *gradients = mode(z_gradient, run=backward, training=mode.training)
                _report(_error(rebuilt, x), z)
                of_inputs = _final([gradients[0], *gradients[1]])
                if variables is None:
                    return of_inputs
                return of_inputs, _final([weights.of(v) for v in variables])

            return (z, log_det), gradient

        return encode(x, *leaves(cond))

    return run


class _Mode(keras.layers.Layer):
    """Runs functions in the mode, training or inference, in which Keras is at the first of them.

    By the time of a backward pass Keras has forgotten it.
    """

    def __init__(self):
        # TensorFlow takes no name with a leading underscore.
        super().__init__(dtype=keras.config.floatx(), autocast=False, name="mode")
        self.training = None

    def call(self, x, run, training=None):
        self.training = training
        return run()


def _random_states(bijector):
    """The states of the random generators in a bijector's layers, and their values now."""
    states = []
    for layer in bijector.layers:
        weights = {id(w) for w in layer.weights}
        states += [(v, tf.identity(v.value)) for v in layer.variables if id(v) not in weights]
    return states


def _error(rebuilt, x):
    width = tf.reduce_max(x) - tf.reduce_min(x)
    error = tf.math.divide_no_nan(tf.reduce_max(tf.abs(rebuilt - x)), width)
    # A shard may have no rows, and then no largest element either.
    return tf.where(tf.size(x) > 0, error, tf.zeros_like(error))


def _report(error, z):
    errors = _watched.get()
    if errors is not None:
        errors.append(error)
        return
    # Where z isn't finite neither is the loss, and gradients say so themselves.
    good = (error <= BOUND) | ~tf.reduce_all(tf.math.is_finite(z))
    if not tf.executing_eagerly():
        tf.debugging.Assert(good, ["reconstruction error", error, "is more than", BOUND])
    elif not good:
        raise UsageError(too_large(error))


def _final(gradients):
    why = 'memory="recompute" has first derivatives only; use memory="store"'
    return [
        None if g is None else tf.raw_ops.PreventGradient(input=g, message=why) for g in gradients
    ]
