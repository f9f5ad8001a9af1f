"""Gradients whose backward pass rebuilds activations from z."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_cinn import UsageError
from tfp_cinn.bijectors import (
    AffineCoupling,
    Chain,
    GlowCoupling,
    RandomPermutation,
    computing,
)
from tfp_cinn.bijectors.recompute import reconstruction_errors
from tfp_cinn.networks import MLP

tfb = tfp.bijectors
X = np.random.RandomState(0).randn(5, 4).astype("float32")


def gradients(chain, x=X, memory="recompute", cond=None):
    with computing(memory=memory), tf.GradientTape() as tape:
        z, log_det = chain.inverse_and_log_det(x, cond)
        loss = tf.reduce_sum(z**2) - tf.reduce_sum(log_det)
    return tape.gradient(loss, chain.trainable_variables)


def assert_same(chain):
    expected = gradients(chain, memory="store")
    assert all(np.any(g != 0) for g in expected)
    for a, b in zip(gradients(chain), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())


def built(members, shape=(4,), cond_shape=None):
    chain = Chain(members)
    chain.build(shape, cond_shape)
    return chain


EMBEDDED = """
import keras
import tensorflow as tf
from tfp_cinn.bijectors import Chain, Embed, GlowCoupling, RandomPermutation, computing
from tfp_cinn.networks import MLP

def memory_of_a_gradient(memory, blocks):
    members = []
    for k in range(blocks):
        layers = [keras.layers.Dense(256, activation="tanh"), keras.layers.Dense(2)]
        network = keras.Sequential([keras.Input((8,)), *layers])
        members += [Embed(network, GlowCoupling(MLP([256], "tanh"))), RandomPermutation(k)]
    chain = Chain(members)
    chain.build((8,), (8,))
    x = tf.random.stateless_normal([1024, 8], [1, 2])

    @tf.function(autograph=False)
    def step():
        with computing(memory=memory), tf.GradientTape() as tape:
            z, log_det = chain.inverse_and_log_det(x, x)
            loss = tf.reduce_sum(z**2) - tf.reduce_sum(log_det)
        gradients = tape.gradient(loss, chain.trainable_variables)
        # One number for all of them, which take more with every block.
        return tf.add_n([tf.reduce_sum(g**2) for g in gradients])

    step()
    tf.config.experimental.reset_memory_stats("CPU:0")
    step()
    info = tf.config.experimental.get_memory_info("CPU:0")
    return info["peak"] - info["current"]

few, many, stored = (
    memory_of_a_gradient(*case) for case in (("recompute", 2), ("recompute", 8), ("store", 8))
)
assert many < 1.5 * few, (few, many)
assert stored > 3 * many, (stored, many)
"""


@pytest.mark.long
def test_memory_does_not_grow_with_depth():
    # Only this allocator counts memory on every CPU, and a process chooses it at its start.
    environment = os.environ | {"TF_CPU_ALLOCATOR_USE_BFC": "1"}
    done = subprocess.run(
        [sys.executable, "-c", EMBEDDED], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_each_subnet_runs_once_more_in_the_backward_pass():
    calls = []

    class Counting(keras.layers.Dense):
        def call(self, x):
            calls.append(self)
            return super().call(x)

    chain = built([GlowCoupling(Counting), AffineCoupling(Counting)])
    calls.clear()
    with computing(memory="recompute"), tf.GradientTape() as tape:
        z, _ = chain.inverse_and_log_det(X)
    assert len(calls) == 3
    tape.gradient(z, chain.trainable_variables)
    assert len(calls) == 6
    assert calls[3:] == calls[:3][::-1]


def test_gradients_of_a_shared_subnet_add_up(perturb):
    shared = MLP([8], "tanh")(4)
    chain = built([AffineCoupling(lambda n: shared), RandomPermutation(0)] * 2)
    perturb([shared])
    assert len(chain.trainable_variables) == 4
    assert_same(chain)


def test_members_of_tfp_take_part(perturb):
    chain = built(
        [
            GlowCoupling(MLP([8], "tanh")),
            tfb.Shift([0.5, -1.0, 2.0, 0.1]),
            tfb.SinhArcsinh(tailweight=1.3),
            GlowCoupling(MLP([8], "tanh")),
        ]
    )
    perturb(chain.layers)
    assert_same(chain)


def far_out(perturb):
    """A chain that multiplies some x by e^40, which leaves nothing of the others in float32."""
    chain = built([AffineCoupling(MLP([4], "tanh"), clamp=40.0) for _ in range(4)])
    perturb(chain.layers, std=8.0)
    return chain


def test_a_reconstruction_error_is_reported_or_raised(perturb):
    chain = built([GlowCoupling(MLP([8], "tanh"))])
    perturb(chain.layers)
    with reconstruction_errors() as errors:
        gradients(chain)
    assert len(errors) == 1 and 0 < errors[0] < 1e-5
    chain = far_out(perturb)
    with reconstruction_errors() as errors:
        gradients(chain)
    assert errors[0] > 0.01
    with pytest.raises(
        UsageError, match=r"rebuilt x from z with an error of .*memory=\"store\""
    ) as e:
        gradients(chain)
    assert "\n" not in str(e.value)
    with pytest.raises(tf.errors.InvalidArgumentError, match="reconstruction error"):
        tf.function(gradients, autograph=False)(chain)
    bad = X.copy()
    bad[1, 2] = np.nan  # what isn't finite tells so itself
    assert not np.all(np.isfinite(gradients(chain, bad)[0]))


def test_second_derivatives_are_refused(perturb):
    chain = built([AffineCoupling(MLP([8], "tanh"))])
    perturb(chain.layers)
    with tf.GradientTape() as outer:
        first = gradients(chain)
    with pytest.raises(LookupError, match="first derivatives only"):
        outer.gradient(first[0], chain.trainable_variables)
