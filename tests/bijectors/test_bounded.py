"""Bijectors for positive and bounded data."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import CINN, UsageError
from tfp_cinn.bijectors import Bounded, Chain, Exp, GlowCoupling, Softplus
from tfp_cinn.diagnosis import first_non_finite
from tfp_cinn.networks import MLP

EVERY = {
    "exp": (Exp, 0.0, np.inf),
    "softplus": (Softplus, 0.0, np.inf),
    "unit": (lambda: Bounded(0, 1), 0.0, 1.0),
    "wide": (lambda: Bounded(-20, 1e4), -20.0, 1e4),
    "far": (lambda: Bounded(100, 101), 100.0, 101.0),
    "below": (lambda: Bounded(low=2), 2.0, np.inf),
    "above": (lambda: Bounded(high=-2), -np.inf, -2.0),
    "entries": (lambda: Bounded([-1, None], [None, 3]), np.array([-1, -np.inf]),
                np.array([np.inf, 3])),
}  # fmt: skip


def closed_forms(name, x, low, high):
    """z and log|dz/dx| of one float32 x, in extended precision."""
    x, low, high = (np.longdouble(v) for v in (x, low, high))
    if name == "exp":
        return np.log(x), -np.log(x)
    if np.isfinite(low) and np.isfinite(high):
        a, b = x - low, high - x
        return np.log(a) - np.log(b), np.log(high - low) - np.log(a) - np.log(b)
    d = x - low if np.isfinite(low) else high - x
    z = d + np.log(-np.expm1(-d))
    return (z if np.isfinite(low) else -z), -np.log(-np.expm1(-d))


@pytest.mark.parametrize("name", ["exp", "softplus", "unit", "wide", "far", "below", "above"])
def test_exact_next_to_the_bounds(name):
    make, low, high = EVERY[name]
    ends = [np.float32(end) for end in (low, high) if np.isfinite(end)]
    inner = [
        end + s * d for end in ends for s in (-1, 1) for d in (1e-30, 1e-12, 1e-5, 0.1, 0.5, 9)
    ]
    inner += [np.nextafter(end, np.float32(s * np.inf)) for end in ends for s in (-1, 1)]
    x = np.unique(np.array(inner, np.float32))
    # Numbers below 1.2e-38 may count as 0.
    x = x[(x > low) & (x < high) & ((x == 0) | (np.abs(x) > 2e-38))][:, np.newaxis]
    z, log_det = make().inverse_and_log_det(x)
    expected = np.array([closed_forms(name, v, low, high) for v in x[:, 0]], np.float64)
    # Sums of two or three logarithms, each of 1e-7 of at most 70.
    np.testing.assert_allclose(z[:, 0], expected[:, 0], rtol=3e-7, atol=3e-6)
    np.testing.assert_allclose(log_det, expected[:, 1], rtol=3e-7, atol=3e-6)


@pytest.mark.parametrize("name", EVERY)
def test_samples_lie_inside_and_all_is_finite(name):
    make, low, high = EVERY[name]
    bijector = make()
    z = tf.constant(np.linspace(-50, 50, 202, dtype="float32").reshape(101, 2))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(z)
        x, forward = bijector.forward_and_log_det(z)
        again, inverse = bijector.inverse_and_log_det(x)
    assert np.all(x > low) and np.all(x < high)
    for value in (x, forward, again, inverse):
        assert np.all(np.isfinite(value))
        assert np.all(np.isfinite(tape.gradient(value, z)))


@pytest.mark.parametrize("name", EVERY)
def test_values_outside_are_named_or_nan(name):
    make, low, high = EVERY[name]
    beyond = 0.5 * (name in ("exp", "wide"))  # or on the bound
    x = make().forward_and_log_det(tf.random.normal([5, 2]))[0].numpy()
    end = np.broadcast_to(low, 2)[0]
    x[3, 0] = end - beyond if np.isfinite(end) else np.broadcast_to(high, 2)[0] + beyond
    bijector = make()
    with pytest.raises(UsageError, match=rf"x row 3 is {x[3, 0]}, outside \(") as caught:
        bijector.inverse_and_log_det(x)
    assert "\n" not in str(caught.value)
    z, log_det = tf.function(bijector.inverse_and_log_det)(x)
    bad = np.arange(5) == 3
    np.testing.assert_array_equal(np.isnan(z), np.stack([bad, bad], axis=1))
    np.testing.assert_array_equal(np.isnan(log_det), bad)


def test_training_says_which_value_is_outside():
    model = CINN(Chain([Bounded(0, 1), GlowCoupling(MLP([4]))]), (2,))
    x = np.random.RandomState(0).uniform(0.1, 0.9, (8, 2)).astype("float32")
    x[5, 1] = -0.25
    said = r"x row 5 is -0.25, outside \(0, 1\)"
    assert first_non_finite(model.distribution, tf.constant(x), None).startswith("bounded: x row 5")
    model.compile("sgd")
    with pytest.raises(UsageError, match=rf"epoch 1, batch 1: bounded: {said}"):
        model.fit(x, batch_size=8, shuffle=False, verbose=0)
