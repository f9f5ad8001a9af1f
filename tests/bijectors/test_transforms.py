"""Transforms and splits by themselves: every exported one, at both precisions."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import bijectors as b
from tfp_cinn.networks import MLP

TRANSFORMS = {
    kind
    for _, kind in inspect.getmembers(b, inspect.isclass)
    if issubclass(kind, b.Transform) and kind is not b.Transform
}
every_transform = pytest.mark.parametrize("kind", sorted(TRANSFORMS, key=lambda k: k.__name__))
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
FAR = [0.0, 4.9999995, 5.0, -5.0, 1e4, -1e4, 1e30]


def params_for(transform, x, std, dtype):
    shape = (*x.shape[:-1], transform.params_per_channel * x.shape[-1])
    return tf.constant(std * np.random.default_rng(1).normal(size=shape), dtype)


@every_transform
@each_dtype
def test_zero_parameters_are_the_identity_at_every_distance(kind, dtype):
    transform = kind()
    x = tf.constant([*np.linspace(-6, 6, 93), *FAR], dtype)[:, tf.newaxis]
    params = params_for(transform, x, 0.0, dtype)
    for run in (transform.inverse, transform.forward):
        y, log_slope = run(x, params)
        # a few roundings of a value up to 5
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(y, x, rtol=2 * eps, atol=10 * eps)
        np.testing.assert_allclose(log_slope, np.zeros(x.shape), atol=10 * eps)


@every_transform
@each_dtype
@pytest.mark.parametrize("batches", [1, pytest.param(20, marks=pytest.mark.long)])
def test_samples_and_gradients_are_finite_and_go_back(kind, dtype, batches):
    """A million samples in the long run."""
    transform, rng = kind(), np.random.default_rng(0)
    for k in range(batches):
        std = 50.0 if k % 2 else 1.0
        x = tf.constant([*(3 * rng.normal(size=50_000)), *FAR], dtype)[:, tf.newaxis]
        shape = (len(x), transform.params_per_channel)
        params = tf.constant(std * rng.normal(size=shape), dtype)
        with tf.GradientTape() as tape:
            tape.watch([x, params])
            z, log_slope = transform.inverse(x, params)
            loss = tf.reduce_sum(log_slope) + tf.reduce_sum(tf.clip_by_value(z, -9.0, 9.0))
        gradients = tape.gradient(loss, [x, params])
        again, back = transform.forward(z, params)
        for value in (z, log_slope, again, back, *(g for g in gradients if g is not None)):
            assert np.all(np.isfinite(value))
        if std == 1.0:
            # Roundings of x, of z and of a shift or knot of up to 5, the latter two as the slope
            # takes them back; measured: at most 1 of them.
            size = 5 + np.abs(x) + (5 + np.abs(z)) * np.exp(-log_slope)
            assert np.max(np.abs(again - x) / size) < 4 * np.finfo(dtype).eps


def test_a_spline_is_monotone_and_continuous_across_knots_and_bounds():
    spline = b.RationalQuadraticSpline(bins=8, bound=2.0)
    x = tf.linspace(tf.constant(-3.0, tf.float64), 3.0, 60_001)[:, tf.newaxis]
    params = tf.repeat(params_for(spline, x[:1], 2.0, "float64"), len(x), axis=0)
    z, log_slope = spline.inverse(x, params)
    assert np.diff(z[:, 0]).min() > 0
    # A jump of z, or a wrong slope, would show in the sum of all steps, of 1e-4 each.
    slope = np.exp(log_slope[:, 0])
    steps = 1e-4 * (slope[1:] + slope[:-1]) / 2
    np.testing.assert_allclose(z[1:, 0], -3 + np.cumsum(steps), atol=1e-4)


@every_transform
def test_shapes_stay_known_in_graphs(kind):
    transform = kind()
    x = tf.TensorSpec([None, 3, 2])
    params = tf.TensorSpec([None, 3, 2 * transform.params_per_channel])
    for run in (transform.inverse, transform.forward):
        graph = tf.function(run).get_concrete_function(x, params)
        assert [tuple(shape) for shape in graph.output_shapes] == [(None, 3, 2)] * 2


def test_a_checkerboard_parts_by_color_and_joins_again():
    split = b.Checkerboard()
    row, column = np.indices((4, 6))
    x = tf.constant(np.stack([row, column], axis=-1)[np.newaxis], tf.float32)
    parts = split.split(x)
    for color, part in enumerate(parts):
        assert part.shape[1:] == split.shapes((4, 6, 2))[color] == (2, 3, 4)
        places = tf.reshape(part, [-1, 2])
        assert set(np.sum(places, axis=1) % 2) == {color}
    np.testing.assert_array_equal(split.join(parts), x)


@pytest.mark.parametrize("name", ["affine", "spline"])
def test_earlier_files_name_the_transform_of_an_elementwise_layer(name):
    kind = {"affine": b.Affine, "spline": b.RationalQuadraticSpline}[name]
    config = b.ElementwiseConditional(MLP([4]), kind()).get_config()
    restored = b.ElementwiseConditional.from_config(config | {"transform": name})
    assert restored.get_config()["transform"]["class_name"] == kind.__name__
