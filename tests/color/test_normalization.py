import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import UsageError
from tfp_cinn.color import LAB_OFFSETS, LAB_SCALES, denormalize, normalize


def test_published_numbers():
    np.testing.assert_allclose(normalize([LAB_OFFSETS]), [[0, 0, 0]])
    np.testing.assert_allclose(denormalize([[1.0, -1.0, 2.0]]), [[73.1, -8.8, 41.0]], rtol=1e-6)


@pytest.mark.parametrize("dtype, rtol", [("float32", 1e-6), ("float64", 1e-14)])
def test_parts_are_treated_as_in_the_whole(dtype, rtol):
    lab = np.random.RandomState(0).uniform(-100, 100, (2, 4, 5, 3)).astype(dtype)
    whole = normalize(lab)
    assert whole.dtype == dtype
    np.testing.assert_allclose(whole, (lab - LAB_OFFSETS) / LAB_SCALES, rtol=10 * rtol)
    for part in (slice(0, 1), slice(1, 3), slice(0, 3)):
        np.testing.assert_array_equal(normalize(lab[..., part]), whole[..., part])
        back = denormalize(whole[..., part])
        np.testing.assert_allclose(back, lab[..., part], rtol=rtol, atol=100 * rtol)


def test_unknown_batch():
    traced = tf.function(normalize, input_signature=[tf.TensorSpec([None, None, None, 2])])
    assert traced(tf.zeros([0, 4, 4, 2])).shape == (0, 4, 4, 2)


@pytest.mark.parametrize("function", [normalize, denormalize])
def test_what_is_no_lab_is_refused(function):
    name = function.__name__
    with pytest.raises(UsageError, match=rf"{name}: expected x of shape \[\.\.\., 1\] or"):
        function(tf.zeros([2, 4]))
    with pytest.raises(UsageError, match=f"{name}: .*float64, got int32: cast it"):
        function(tf.zeros([2, 3], tf.int32))
