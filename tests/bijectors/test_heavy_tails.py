"""Tails: a density, which orders outliers and makes none of them cost a fortune."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import UsageError
from tfp_cinn.bijectors import HeavyTails


def log_density(tails, x):
    z, log_det = tails.inverse_and_log_det(tf.constant(x)[:, tf.newaxis])
    return -0.5 * z[:, 0] ** 2 - 0.5 * np.log(2 * np.pi) + log_det


@pytest.mark.parametrize("df", [1.0, 5.0, 1e5])
def test_outliers_are_ordered_and_cost_what_a_wide_tail_costs(df):
    tails = HeavyTails(df)
    x = np.concatenate([np.linspace(0, 60, 60_001), np.geomspace(61, 1e8, 200)])
    log_p = log_density(tails, x).numpy()
    assert np.all(np.diff(log_p) < 0)
    inside = 2 * np.trapezoid(np.exp(log_p[:60_001]), dx=1e-3)
    beyond = 2 * np.trapezoid(np.exp(log_p[60_000:]), x[60_000:])
    np.testing.assert_allclose(inside + beyond, 1.0, atol=1e-3)
    if df == 5.0:  # as Student's t, whose density falls as x^-(df + 1), up to a root of a logarithm
        fall = log_p[-1] - log_p[-2]
        np.testing.assert_allclose(fall, -(df + 1) * np.log(x[-1] / x[-2]), rtol=0.01)
        assert log_density(tails, np.array([1e3])) > -40.0
    if df == 1e5:
        np.testing.assert_allclose(log_p[:4000], log_density(HeavyTails(1e9), x[:4000]), atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_latents_come_back_and_gradients_are_finite_at_any_distance(dtype):
    tails = HeavyTails(4.0)
    z = tf.constant([0.0, 1e-20, -1e-3, 0.0199, 0.0201, 1.0, -3.0, 8.0], dtype)[:, tf.newaxis]
    x, log_det = tails.forward_and_log_det(z)
    with tf.GradientTape() as tape:
        tape.watch(x)
        again, back = tails.inverse_and_log_det(x)
        loss = tf.reduce_sum(again) + tf.reduce_sum(back)
    # z^2 / df, up to 16, is exponentiated: so many roundings of it in x, a few of them in z.
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(again, z, rtol=20 * eps)
    np.testing.assert_allclose(back, -log_det, atol=100 * eps)
    assert np.all(np.isfinite(tape.gradient(loss, x)))
    assert np.all(np.isfinite(tails.inverse_and_log_det(tf.constant([[1e15]], dtype))[0]))


def test_degrees_of_freedom_are_positive():
    with pytest.raises(UsageError, match="df: expected a positive number, got -1"):
        HeavyTails(-1.0)
