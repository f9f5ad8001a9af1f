import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn.bijectors import HaarDownsampling, Squeeze

# Rows: the signs of the average and of the horizontal, vertical and diagonal difference over the
# pixels of a block in reading order.
SIGNS = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])


@pytest.mark.parametrize("by_wavelet", [False, True])
@pytest.mark.parametrize("k", [1.0, 0.5])
def test_every_wavelet_is_where_the_docstring_says(k, by_wavelet):
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


@pytest.mark.parametrize(("dtype", "atol"), [("float16", 1e-2), ("float32", 1e-6), ("float64", 0)])
def test_dtypes_and_empty_batches_of_unknown_size(dtype, atol):
    bijector = HaarDownsampling(0.5, by_wavelet=True)

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


@pytest.mark.parametrize(("f", "shape"), [(2, (4, 6, 3)), (3, (3, 6, 2)), (4, (8, 4, 1))])
def test_every_pixel_is_where_the_docstring_says(f, shape):
    x = np.random.RandomState(0).randn(2, *shape).astype("float32")
    z, log_det = Squeeze(f).inverse_and_log_det(x)
    height, width, channels = shape
    assert z.shape == (2, height // f, width // f, f * f * channels)
    for i, j, c in np.ndindex(shape):
        a, b = i % f, j % f
        channel = (a * f + b) * channels + c
        np.testing.assert_array_equal(z[:, i // f, j // f, channel], x[:, i, j, c])
    np.testing.assert_array_equal(log_det, 0.0)
