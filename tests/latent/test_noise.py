import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn.latent.noise import noise


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", [(), (3, 7), (8,)])
def test_noise_is_that_of_tensorflow_on_any_compiler(shape, jit_compile):
    seeds = np.array([[0, 0], [1, 2], [-3, 4], [2**31 - 1, -(2**31)]], np.int32)
    expected = [tf.random.stateless_normal(shape, seed, alg="philox") for seed in seeds]
    got = tf.function(noise, jit_compile=jit_compile)(tf.constant(seeds), shape, "float32")
    # Rounding of logarithm, sine and cosine.
    np.testing.assert_allclose(got, expected, rtol=0, atol=5e-6)
