import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn.bijectors import SoftPermutation

SHAPES = [(3, 4, 5), (5, 2, 1), (1, 7, 3), (2, 3, 16)]


@pytest.mark.parametrize("shape", SHAPES)
def test_on_feature_maps_it_is_an_orthogonal_1x1_convolution(shape):
    bijector = SoftPermutation(seed=4)
    bijector.build(shape)
    x = tf.random.normal([6, *shape])
    z, ildj = bijector.inverse_and_log_det(x)
    (q,) = bijector.layers[0].get_weights()
    assert q.shape == (shape[-1], shape[-1])
    np.testing.assert_allclose(z, tf.nn.conv2d(x, q[np.newaxis, np.newaxis], 1, "SAME"), atol=1e-5)
    # orthogonal: decoding convolves with the transposed matrix
    again, fldj = bijector.forward_and_log_det(tf.identity(z))
    np.testing.assert_allclose(again, x, atol=1e-5)
    np.testing.assert_array_equal(ildj, np.zeros(6))
    np.testing.assert_array_equal(fldj, np.zeros(6))
    # The rounding of Q to float32 leaves some 1e-7 a channel and position: as good as exact.
    positions = shape[0] * shape[1]
    np.testing.assert_allclose(positions * np.linalg.slogdet(q.astype("float64"))[1], 0, atol=1e-5)
