import warnings

import numpy as np
import pytest
import tensorflow as tf
from skimage import color

from tfp_cinn import UsageError
from tfp_cinn.color import lab_to_rgb, rgb_to_lab

# Measured on all colors of 8 bits: 2.3e-13 in float64; 2.4e-5 (L) and 1.1e-4 (a, b) in float32.
LAB_TOLERANCE = {"float64": [1e-12] * 3, "float32": [5e-5, 2.5e-4, 2.5e-4]}
# Measured: 2.2e-14 and 1.1e-5.
RGB_TOLERANCE = {"float64": 1e-13, "float32": 2.5e-5}
# The knees of the gamma curve and of f, black, white, primaries, grays, and what is no color.
EDGES = np.array(
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    + [[v, v, v] for v in (0.04045, np.float32(0.04045), 0.5, 0.0991, 0.09925, -0.2, 1.5)]
    + [[-1e3, 0.0, 1e3]]
)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_equals_scikit_image_in_the_gamut_and_outside(dtype):
    levels = np.arange(0, 256, 15) / 255.0
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    lab = rgb_to_lab(rgb.astype(dtype))
    assert lab.dtype == dtype and lab.shape == rgb.shape
    assert (np.abs(lab - color.rgb2lab(rgb)).max((0, 1, 2)) < LAB_TOLERANCE[dtype]).all()
    # 1.7e-6 is the rounding of the published knees: scikit-image has it as well.
    np.testing.assert_allclose(lab_to_rgb(lab), rgb, rtol=0, atol=2.5e-5)
    L, ab = np.linspace(0, 100, 11), np.linspace(-128, 128, 17)
    lab = np.stack(np.meshgrid(L, ab, ab, indexing="ij"), axis=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of colors that are none
        expected = color.lab2rgb(lab)
    np.testing.assert_allclose(
        lab_to_rgb(lab.astype(dtype)), expected, rtol=0, atol=RGB_TOLERANCE[dtype]
    )


def test_without_clipping_every_lab_is_inverted():
    lab = np.random.RandomState(0).uniform([0, -128, -128], [100, 128, 128], (1000, 3))
    rgb = lab_to_rgb(lab, clip=False).numpy()
    assert rgb.min() < -1 and rgb.max() > 1.5
    np.testing.assert_allclose(rgb_to_lab(rgb), lab, rtol=0, atol=1e-3)


def jacobian(function, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.batch_jacobian(y, x).numpy()


def test_gradients_are_finite_and_not_zero_everywhere():
    dtype = "float32"
    rgb = EDGES.astype(dtype)
    f_knee = 116 * 0.2068966 - 16
    more = np.array([[f_knee, 0, 0], [0, -500, 500], [50, 0, 500]], dtype)
    lab = np.concatenate([rgb_to_lab(rgb).numpy(), more])
    for function, x in ((rgb_to_lab, rgb), (lambda x: lab_to_rgb(x, clip=False), lab)):
        gradients = jacobian(function, x)
        assert np.isfinite(gradients).all()
        assert (np.abs(np.linalg.det(gradients)) > 0).all()
    assert np.isfinite(jacobian(lab_to_rgb, lab)).all()


def test_nan_stays_nan():
    x = np.array([[np.nan] * 3, [0.5] * 3])
    for function in (rgb_to_lab, lab_to_rgb):
        np.testing.assert_array_equal(np.isnan(function(x)), [[True] * 3, [False] * 3])


@pytest.mark.parametrize(
    "x, message",
    [
        (np.zeros((2, 3), np.uint8), "rgb: expected float32 .*got uint8; divide 8-bit RGB by 255"),
        (np.zeros((4, 4, 4)), r"shape \[\.\.\., 3\], got \(4, 4, 4\)"),
        (0.5, r"got \(\)"),
    ],
)
def test_what_is_no_image_is_refused(x, message):
    with pytest.raises(UsageError, match=message):
        rgb_to_lab(x)
