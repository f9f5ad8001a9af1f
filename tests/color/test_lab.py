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


def rgb_grid(step):
    levels = np.arange(0, 256, step) / 255.0
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)


def skimage_rgb(lab):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of colors that are none
        return color.lab2rgb(lab)


MODES = pytest.mark.parametrize(
    ("dtype", "jit_compile"), [("float64", False), ("float32", False), ("float32", True)]
)


@MODES
def test_equals_scikit_image_on_a_grid_of_colors(dtype, jit_compile):
    rgb = rgb_grid(5)
    convert = tf.function(rgb_to_lab, jit_compile=jit_compile)
    got = convert(rgb.astype(dtype))
    assert got.dtype == dtype and got.shape == rgb.shape
    assert (np.abs(got - color.rgb2lab(rgb)).max((0, 1, 2)) < LAB_TOLERANCE[dtype]).all()


@MODES
def test_lab_to_rgb_equals_scikit_image_in_the_gamut_and_outside(dtype, jit_compile):
    L, ab = np.linspace(0, 100, 21), np.linspace(-128, 128, 33)
    lab = np.stack(np.meshgrid(L, ab, ab, indexing="ij"), axis=-1)
    expected = skimage_rgb(lab)
    assert 0.1 < ((expected > 0) & (expected < 1)).all(axis=-1).mean() < 0.5
    got = tf.function(lab_to_rgb, jit_compile=jit_compile)(lab.astype(dtype))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, rtol=0, atol=RGB_TOLERANCE[dtype])


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("dtype, atol", [("float64", 2e-6), ("float32", 2.5e-5)])
def test_lab_to_rgb_inverts_rgb_to_lab(dtype, atol, clip):
    # 1.7e-6 is the rounding of the published knees: scikit-image has it as well.
    rgb = rgb_grid(15).astype(dtype)
    np.testing.assert_allclose(lab_to_rgb(rgb_to_lab(rgb), clip=clip), rgb, rtol=0, atol=atol)


def test_without_clipping_every_lab_is_inverted():
    lab = np.random.RandomState(0).uniform([0, -128, -128], [100, 128, 128], (10000, 3))
    rgb = lab_to_rgb(lab, clip=False).numpy()
    assert rgb.min() < -1 and rgb.max() > 1.5
    np.testing.assert_allclose(rgb_to_lab(rgb), lab, rtol=0, atol=1e-3)


def jacobian(function, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.batch_jacobian(y, x).numpy()


@MODES
def test_gradients_are_finite_and_not_zero_everywhere(dtype, jit_compile):
    rgb = EDGES.astype(dtype)
    lab = rgb_to_lab(rgb).numpy()
    f_knee = 116 * 0.2068966 - 16
    lab = np.concatenate([lab, np.array([[f_knee, 0, 0], [0, -500, 500], [50, 0, 500]], dtype)])

    def unclipped(x):
        return lab_to_rgb(x, clip=False)

    for function, x in ((rgb_to_lab, rgb), (unclipped, lab)):
        gradients = jacobian(tf.function(function, jit_compile=jit_compile), x)
        assert np.isfinite(gradients).all()
        assert (np.abs(np.linalg.det(gradients)) > 0).all()
    assert np.isfinite(jacobian(lab_to_rgb, lab)).all()


def test_clipped_channels_have_no_gradient():
    lab = rgb_to_lab(np.array([[1.3, 0.5, -0.2], [0.3, 0.5, 0.2]])).numpy()
    rgb, gradients = lab_to_rgb(lab), jacobian(lab_to_rgb, lab)
    np.testing.assert_allclose(rgb, [[1.0, 0.5, 0.0], [0.3, 0.5, 0.2]], atol=1e-6)
    blocked = (gradients == 0).all(axis=-1)
    np.testing.assert_array_equal(blocked, [[True, False, True], [False, False, False]])


def test_any_batch_shape_known_or_not():
    rgb = np.random.RandomState(0).rand(2, 3, 4, 5, 3)
    expected = rgb_to_lab(rgb)
    np.testing.assert_array_equal(rgb_to_lab(rgb[1, 2, 3, 4]), expected[1, 2, 3, 4])
    spec = tf.TensorSpec([None] * 4 + [3], tf.float64)
    for function, x in ((rgb_to_lab, rgb), (lab_to_rgb, expected)):
        traced = tf.function(function, input_signature=[spec])
        np.testing.assert_allclose(traced(x), function(x), rtol=0, atol=1e-12)
        assert traced(x[:0]).shape == (0, 3, 4, 5, 3)
        assert traced.get_concrete_function().output_shapes.as_list() == [None] * 4 + [3]


def test_nan_stays_nan():
    x = np.array([[np.nan] * 3, [0.5] * 3])
    for function in (rgb_to_lab, lab_to_rgb):
        np.testing.assert_array_equal(np.isnan(function(x)), [[True] * 3, [False] * 3])


@pytest.mark.parametrize(
    "function, x, message",
    [
        (rgb_to_lab, np.zeros((2, 3), np.uint8), r"got uint8: divide 8-bit values by 255\.0"),
        (rgb_to_lab, [[255, 0, 0]], "got int32: divide"),
        (rgb_to_lab, np.zeros((2, 3), np.float16), "float32 or float64, got float16"),
        (rgb_to_lab, np.zeros((4, 4, 4)), r"shape \[\.\.\., 3\], got \(4, 4, 4\)"),
        (rgb_to_lab, 0.5, r"got \(\)"),
        (lab_to_rgb, np.zeros((2, 3), int), "got int64: cast it"),
        (lab_to_rgb, np.zeros((2, 2)), r"expected lab of shape \[\.\.\., 3\], got \(2, 2\)"),
    ],
)
def test_what_is_no_image_is_refused(function, x, message):
    with pytest.raises(UsageError, match=message) as caught:
        function(x)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(function.__name__)
