import math

import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import UsageError
from tfp_cinn.bijectors import Chain, HaarDownsampling

# Rows: the signs of the average and of the horizontal, vertical and diagonal difference over the
# pixels of a block in reading order.
SIGNS = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])


@pytest.mark.parametrize("by_wavelet", [False, True])
@pytest.mark.parametrize("k", [1.0, 0.5])
def test_every_coefficient_is_where_the_docstring_says(k, by_wavelet):
    height, width, channels = 4, 6, 3
    x = np.random.RandomState(0).randn(2, height, width, channels)
    z, _ = HaarDownsampling(k, by_wavelet).inverse_and_log_det(tf.constant(x))
    assert z.shape == (2, 2, 3, 12)
    for i, j, c, w in np.ndindex(2, 3, channels, 4):
        block = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c].reshape(2, 4)
        channel = w * channels + c if by_wavelet else 4 * c + w
        np.testing.assert_allclose(z[:, i, j, channel], k / 2 * block @ SIGNS[w], atol=1e-12)


def test_names_of_the_differences():
    left_right = tf.constant([[[1.0], [-1.0]], [[1.0], [-1.0]]])
    z = HaarDownsampling().inverse(left_right)
    np.testing.assert_array_equal(z, [[[0.0, 2.0, 0.0, 0.0]]])  # horizontal difference only
    z = HaarDownsampling().inverse(tf.transpose(left_right, [1, 0, 2]))
    np.testing.assert_array_equal(z, [[[0.0, 0.0, 2.0, 0.0]]])


@pytest.mark.parametrize("k", [1.0, 0.5, 3.0])
def test_log_det_and_norm(k):
    bijector = HaarDownsampling(k)
    x = tf.random.normal([3, 4, 2, 5], dtype=tf.float64)
    z, log_det = bijector.inverse_and_log_det(x)
    np.testing.assert_allclose(log_det, [4 * 2 * 5 * math.log(k)] * 3, rtol=1e-12)
    # k times an orthogonal matrix
    np.testing.assert_allclose(tf.norm(z), k * tf.norm(x), rtol=1e-12)


def test_halved_wavelets_keep_the_mean_over_any_number_of_downsamplings():
    chain = Chain([HaarDownsampling(0.5, order_by_wavelet=True) for _ in range(3)])
    x = tf.random.normal([2, 8, 16, 3])
    z = chain.inverse(x)
    assert z.shape == (2, 1, 2, 3 * 64)
    means = tf.reduce_mean(tf.reshape(x, [2, 8, 2, 8, 3]), axis=[1, 3])
    np.testing.assert_allclose(z[:, 0, :, :3], means, atol=1e-6)


@pytest.mark.parametrize("by_wavelet", [False, True])
@pytest.mark.parametrize(("dtype", "atol"), [("float16", 1e-2), ("float32", 1e-6), ("float64", 0)])
def test_dtypes_and_empty_batches_of_unknown_size(dtype, atol, by_wavelet):
    bijector = HaarDownsampling(0.5, by_wavelet)

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 2, 3], dtype)])
    def there_and_back(x):
        z, log_det = bijector.inverse_and_log_det(x)
        return (*bijector.forward_and_log_det(tf.identity(z)), log_det)

    for n in (0, 1, 5):
        x = tf.cast(tf.random.normal([n, 4, 2, 3]), dtype)
        again, fldj, ildj = there_and_back(x)
        assert again.dtype == fldj.dtype == ildj.dtype == x.dtype
        np.testing.assert_allclose(tf.cast(again, "float64"), tf.cast(x, "float64"), atol=atol)
        np.testing.assert_array_equal(fldj, -ildj)
        assert ildj.shape == (n,)


def test_latents_alone_tell_the_shape():
    x, log_det = HaarDownsampling().forward_and_log_det(tf.zeros([2, 2, 3, 12]))
    assert x.shape == (2, 4, 6, 3)
    assert log_det.shape == (2,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HaarDownsampling(name="haar_2").build((3, 4, 2)),
         r"haar_2: expected images .* divisible by 2, got shape \(3, 4, 2\); crop or pad"),
        (lambda: HaarDownsampling().build((4, 5, 2)), r"got shape \(4, 5, 2\)"),
        (lambda: Chain([HaarDownsampling(), HaarDownsampling()]).build((6, 8, 1)),
         r"got shape \(3, 4, 4\)"),
        (lambda: HaarDownsampling().build((2, 4, 4, 1)), r"images \[H, W, C\]"),
        (lambda: HaarDownsampling().forward(tf.zeros([1, 2, 2, 6])), "C divisible by 4"),
        (lambda: HaarDownsampling(0.0), "rebalance: expected a positive finite factor, got 0.0"),
        (lambda: HaarDownsampling(-0.5), "rebalance"),
        (lambda: HaarDownsampling(math.nan), "rebalance"),
        (lambda: HaarDownsampling(math.inf), "rebalance"),
    ],
)  # fmt: skip
def test_wrong_input_is_answered_in_one_line(make, message):
    with pytest.raises(UsageError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
