"""Checks for bijectors, for the tests of this package and of those who write their own."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn.bijectors import ConditionalBijector

__all__ = ["assert_bijector_consistent"]


def assert_bijector_consistent(
    bijector: ConditionalBijector,
    x: tf.Tensor,
    cond: Any = None,
    *,
    atol: float = 1e-4,
    jit_compile: bool = True,
) -> None:
    """Assert that a bijector is what it says it is, at the given points.

    Checked are: decoding undoes encoding and the reverse; the log-determinant of encoding is that
    of the Jacobian by automatic differentiation, and minus that of decoding; every trainable
    variable gets a finite gradient that isn't zero; another condition gives another output, if the
    bijector is conditional; TFP's own methods agree with the one-pass ones; tf.function and XLA
    change nothing; additional batch dimensions change nothing.

    Perturb the weights first: a coupling that starts as the identity passes anything. Variables
    that share no path to the output (a dead ReLU) fail the gradient check; use a smooth activation.

    Args:
        bijector: the bijector, built.
        x: data, `[N, *event_shape]` with N of at least 2 and different rows.
        cond: the condition of x, with the same batch dimension.
        atol: absolute tolerance, on outputs and log-determinants alike. The default suits float32
            and outputs of order 1: rounding of some 1e-6, amplified by a scale of up to e^2 and a
            sum over tens of dimensions.
        jit_compile: whether to try XLA.

    Raises:
        AssertionError: if something doesn't hold; the message says what.
    """
    name = bijector.name
    x = tf.convert_to_tensor(x)

    def close(a, b, what):
        np.testing.assert_allclose(
            np.asarray(a), np.asarray(b), atol=atol, rtol=atol, err_msg=f"{name}: {what}"
        )

    z, ildj = bijector.inverse_and_log_det(x, cond)
    # tf.identity: a value that was cached by the tensor's identity would prove nothing.
    x_again, fldj = bijector.forward_and_log_det(tf.identity(z), cond)
    close(x_again, x, "decoding doesn't undo encoding")
    close(fldj, -ildj, "log-determinants of the two directions don't cancel")
    z_again, _ = bijector.inverse_and_log_det(tf.identity(x_again), cond)
    close(z_again, z, "encoding doesn't undo decoding")

    close(ildj, _log_det_by_autodiff(bijector, x, cond), "log-det against autodiff")

    kwargs = {"cond": cond} if bijector.conditional else {}
    event_ndims = x.shape.rank - 1, z.shape.rank - 1
    close(bijector.inverse(tf.identity(x), **kwargs), z, "TFP's inverse")
    close(bijector.forward(tf.identity(z), **kwargs), x, "TFP's forward")
    by_tfp = bijector.inverse_log_det_jacobian(tf.identity(x), event_ndims=event_ndims[0], **kwargs)
    close(by_tfp, ildj, "TFP's inverse_log_det_jacobian")
    by_tfp = bijector.forward_log_det_jacobian(tf.identity(z), event_ndims=event_ndims[1], **kwargs)
    close(by_tfp, fldj, "TFP's forward_log_det_jacobian")
    assert bijector.inverse_event_shape(x.shape[1:]) == z.shape[1:], f"{name}: latent event shape"
    assert bijector.forward_event_shape(z.shape[1:]) == x.shape[1:], f"{name}: data event shape"

    _check_gradients(bijector, x, cond)
    if cond is not None and bijector.conditional:
        other = keras.tree.map_structure(lambda c: tf.reverse(c, axis=[0]) + 1.0, cond)
        moved = tf.abs(bijector.inverse_and_log_det(x, other)[0] - z)
        assert tf.reduce_max(moved) > 1e-3, f"{name}: the condition changes nothing"

    for jit in (False, True) if jit_compile else (False,):
        compiled = tf.function(bijector.inverse_and_log_det, jit_compile=jit)
        for value, expected in zip(compiled(x, cond), (z, ildj), strict=True):
            close(value, expected, f"tf.function with jit_compile={jit}")

    twice = tf.stack([x, x])
    z_twice, ildj_twice = bijector.inverse_and_log_det(twice, cond)
    close(z_twice, tf.stack([z, z]), "a second batch dimension, the condition broadcast")
    close(ildj_twice, tf.stack([ildj, ildj]), "its log-determinant")
    one = None if cond is None else keras.tree.map_structure(lambda c: c[0], cond)
    close(bijector.inverse_and_log_det(x[0], one)[0], z[0], "no batch dimension")


def _log_det_by_autodiff(bijector, x, cond):
    rows, size = x.shape[0], math.prod(x.shape[1:])
    # Each x as often as it has dimensions: one backward pass then gives all rows of its Jacobian.
    x, cond = keras.tree.map_structure(
        lambda t: t if t is None else tf.repeat(t, size, 0), (x, cond)
    )
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = tf.reshape(bijector.inverse_and_log_det(x, cond)[0], [rows * size, size])
    jacobian = tape.gradient(z, x, tf.tile(tf.eye(size, dtype=z.dtype), [rows, 1]))
    jacobian = jacobian.numpy().reshape(rows, size, size).astype(np.float64)
    return np.linalg.slogdet(jacobian).logabsdet


def _check_gradients(bijector, x, cond):
    with tf.GradientTape() as tape:
        z, log_det = bijector.inverse_and_log_det(x, cond)
        loss = tf.reduce_sum(z**2) + tf.reduce_sum(log_det)
    variables = bijector.trainable_variables
    expected = sum(len(layer.trainable_weights) for layer in bijector.layers)
    assert len(variables) >= expected, f"{bijector.name}: trainable_variables are not all there"
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        assert gradient is not None, f"{bijector.name}: no gradient reaches {variable.name}"
        assert np.all(np.isfinite(gradient)), f"{bijector.name}: gradient of {variable.name}"
        assert np.any(gradient != 0), f"{bijector.name}: zero gradient of {variable.name}"
