import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import UsageError
from tfp_cinn.bijectors import Squeeze


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


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_decoding_is_bit_equal_for_any_batch_size(dtype):
    bijector = Squeeze()

    @tf.function(input_signature=[tf.TensorSpec([None, None, 2, 4, 3], dtype)])
    def there_and_back(x):
        z, _ = bijector.inverse_and_log_det(x)
        return bijector.forward_and_log_det(tf.identity(z))[0]

    for batch in ((0, 2), (3, 1)):
        x = tf.cast(tf.random.normal([*batch, 2, 4, 3]), dtype)
        np.testing.assert_array_equal(there_and_back(x), x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Squeeze(3, name="s").build((6, 4, 1)),
         r"s: expected images .* divisible by 3, got shape \(6, 4, 1\); crop or pad"),
        (lambda: Squeeze().build((5, 4, 1)), r"got shape \(5, 4, 1\)"),
        (lambda: Squeeze(3).forward(tf.zeros([1, 2, 2, 8])), "C divisible by 9"),
        (lambda: Squeeze(1), "factor: expected an integer of 2 or more, got 1"),
        (lambda: Squeeze(2.0), "factor: expected an integer of 2 or more, got 2.0"),
    ],
)  # fmt: skip
def test_wrong_input_is_answered_in_one_line(make, message):
    with pytest.raises(UsageError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
