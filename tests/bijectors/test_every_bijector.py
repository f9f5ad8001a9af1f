"""One property test over every exported bijector."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import bijectors as b
from tfp_cinn.networks import MLP, ConvNet, DenseConvNet, strided_features, strided_vector
from tfp_cinn.testing import assert_bijector_consistent

MLP_SUBNET = MLP([8], activation="tanh")
CONV_SUBNET = ConvNet([6], activation="tanh")


def two_features():
    """A network with two outputs, a map and a vector."""
    image = keras.Input((4, 2, 3))
    half = keras.layers.Conv2D(2, 2, strides=2, activation="tanh")(image)
    return keras.Model(image, {"map": half, "vector": keras.layers.Flatten()(half)})


# name: (make, event shape, condition shape)
CASES = {
    "GlowCoupling-vector": (lambda: b.GlowCoupling(MLP_SUBNET), (5,), (3,)),
    "GlowCoupling-unconditional": (lambda: b.GlowCoupling(MLP_SUBNET), (4,), None),
    "GlowCoupling-tanh": (lambda: b.GlowCoupling(MLP_SUBNET, 1.0, "tanh"), (4,), (3,)),
    "GlowCoupling-sigmoid": (lambda: b.GlowCoupling(MLP_SUBNET, 1.0, "sigmoid"), (4,), (3,)),
    "GlowCoupling-map-on-map": (
        lambda: b.GlowCoupling(CONV_SUBNET, event_ndims=3),
        (3, 2, 3),
        (3, 2, 4),
    ),
    "GlowCoupling-vector-on-map": (
        lambda: b.GlowCoupling(CONV_SUBNET, event_ndims=3),
        (2, 3, 4),
        (5,),
    ),
    "GlowCoupling-vector-on-odd-map": (
        lambda: b.GlowCoupling(CONV_SUBNET, event_ndims=3),
        (3, 2, 5),
        (1,),
    ),
    "GlowCoupling-vector-on-sequence": (
        lambda: b.GlowCoupling(MLP_SUBNET, event_ndims=2),
        (3, 5),
        (2,),
    ),
    "GlowCoupling-densely-connected": (
        lambda: b.GlowCoupling(DenseConvNet([3, 2], 3, negative_slope=0.1), event_ndims=3),
        (3, 2, 3),
        (3, 2, 2),
    ),
    "AffineCoupling": (lambda: b.AffineCoupling(MLP_SUBNET), (5,), (3,)),
    "AffineCoupling-map": (
        lambda: b.AffineCoupling(CONV_SUBNET, event_ndims=3),
        (3, 2, 3),
        (3, 2, 1),
    ),
    "AdditiveCoupling": (lambda: b.AdditiveCoupling(MLP_SUBNET), (5,), (3,)),
    "AdditiveCoupling-map": (
        lambda: b.AdditiveCoupling(CONV_SUBNET, event_ndims=3),
        (2, 4, 3),
        (2, 4, 5),
    ),
    "AdditiveCoupling-vector-on-map": (
        lambda: b.AdditiveCoupling(CONV_SUBNET, event_ndims=3),
        (3, 1, 5),
        (3,),
    ),
    "ElementwiseConditional": (lambda: b.ElementwiseConditional(MLP_SUBNET), (3,), (2,)),
    "ElementwiseConditional-spline": (
        lambda: b.ElementwiseConditional(MLP_SUBNET, "spline"),
        (1,),
        (2,),
    ),
    "ElementwiseConditional-unconditional": (
        lambda: b.ElementwiseConditional(MLP_SUBNET, "spline"),
        (2,),
        None,
    ),
    "RandomPermutation": (lambda: b.RandomPermutation(seed=3), (5,), None),
    "RandomPermutation-map": (lambda: b.RandomPermutation(seed=3), (2, 3, 5), None),
    "SoftPermutation": (lambda: b.SoftPermutation(seed=3), (5,), None),
    "SoftPermutation-map": (lambda: b.SoftPermutation(seed=3), (2, 3, 4), None),
    "SoftPermutation-odd-map": (lambda: b.SoftPermutation(seed=3), (3, 4, 5), None),
    "SoftPermutation-one-channel": (lambda: b.SoftPermutation(seed=3), (1,), None),
    "ActNorm": (b.ActNorm, (5,), None),
    "ActNorm-map": (b.ActNorm, (2, 3, 4), None),
    "Standardize": (lambda: b.Standardize(1.5, 0.5), (2, 3, 1), None),
    "Standardize-by-channel": (lambda: b.Standardize([1.0, 2.0], [0.5, 3.0]), (3, 2), None),
    "Flatten": (b.Flatten, (2, 3, 2), None),
    "Flatten-channels-first": (lambda: b.Flatten(channels_first=True), (2, 3, 4), None),
    "Flatten-sequence": (lambda: b.Flatten(2, channels_first=True), (3, 2), None),
    "Reshape": (lambda: b.Reshape((2, 3), (3, 2, 1)), (2, 3), None),
    "HaarDownsampling": (b.HaarDownsampling, (4, 2, 3), None),
    "HaarDownsampling-rebalanced": (lambda: b.HaarDownsampling(0.5), (2, 6, 3), None),
    "HaarDownsampling-by-wavelet": (lambda: b.HaarDownsampling(2.0, True), (4, 6, 1), None),
    "Squeeze": (b.Squeeze, (4, 6, 3), None),
    "Squeeze-by-three": (lambda: b.Squeeze(3), (3, 6, 1), None),
    "FactorOut": (lambda: b.FactorOut(3, b.GlowCoupling(MLP_SUBNET)), (5,), (2,)),
    "FactorOut-unconditional": (lambda: b.FactorOut(1, b.ActNorm(), 3), (2, 3, 3), None),
    "FactorOut-map": (
        lambda: b.FactorOut(3, b.GlowCoupling(CONV_SUBNET, event_ndims=3)),
        (2, 3, 5),
        (2, 3, 1),
    ),
    "FactorOut-nested": (
        lambda: b.FactorOut(
            3,
            b.Chain(
                [
                    b.Select("map", b.AffineCoupling(CONV_SUBNET, event_ndims=3)),
                    b.HaarDownsampling(0.5),
                    b.FactorOut(
                        5,
                        b.Chain([b.Flatten(), b.Select("vector", b.GlowCoupling(MLP_SUBNET))]),
                    ),
                ]
            ),
        ),
        (4, 2, 4),
        {"map": (4, 2, 3), "vector": (5,)},
    ),
    "Select": (
        lambda: b.Select("a", b.GlowCoupling(MLP_SUBNET)),
        (4,),
        {"a": (3,), "unused": (2, 2)},
    ),
    "Select-nothing": (lambda: b.Select(None, b.GlowCoupling(MLP_SUBNET)), (4,), (3,)),
    "Embed": (
        lambda: b.Embed(
            strided_features((4, 6, 2), [3], 4), b.GlowCoupling(CONV_SUBNET, event_ndims=3)
        ),
        (2, 3, 3),
        (4, 6, 2),
    ),
    "Embed-vector": (
        lambda: b.Embed(
            strided_vector((3, 5, 2), [3, 4]),
            b.Chain([b.GlowCoupling(MLP_SUBNET), b.RandomPermutation(1), b.ActNorm()]),
        ),
        (5,),
        (3, 5, 2),
    ),
    "Embed-dict": (
        lambda: b.Embed(
            two_features(),
            b.Chain(
                [
                    b.Select("map", b.AffineCoupling(CONV_SUBNET, event_ndims=3)),
                    b.Select(None, b.AdditiveCoupling(CONV_SUBNET, event_ndims=3)),
                    b.Select("vector", b.GlowCoupling(CONV_SUBNET, event_ndims=3)),
                ]
            ),
        ),
        (2, 1, 4),
        (4, 2, 3),
    ),
    "Chain": (
        lambda: b.Chain(
            [
                b.Standardize(0.5, 2.0),
                b.GlowCoupling(CONV_SUBNET, event_ndims=3),
                b.SoftPermutation(0),
                b.ActNorm(),
                b.Flatten(),
                b.RandomPermutation(1),
                b.AffineCoupling(MLP_SUBNET),
            ]
        ),
        (2, 2, 3),
        (3,),
    ),
    "Chain-of-chains": (
        lambda: b.Chain(
            [
                b.Select("v", b.Chain([b.GlowCoupling(MLP_SUBNET), b.RandomPermutation(2)])),
                b.Select("w", b.GlowCoupling(MLP_SUBNET)),
            ]
        ),
        (4,),
        {"v": (2,), "w": (3,)},
    ),
}


def _draw(shape, rng):
    if isinstance(shape, dict):
        return {key: _draw(s, rng) for key, s in shape.items()}
    return None if shape is None else tf.constant(rng.randn(3, *shape), tf.float32)


def _made(case, perturb):
    make, event_shape, cond_shape = CASES[case]
    bijector = make()
    bijector.build(event_shape, cond_shape)
    perturb(bijector.layers)
    rng = np.random.RandomState(5)
    return bijector, _draw(event_shape, rng), _draw(cond_shape, rng)


@pytest.mark.parametrize("case", CASES)
def test_consistent(case, perturb):
    bijector, x, cond = _made(case, perturb)
    assert_bijector_consistent(bijector, x, cond)


@pytest.mark.parametrize("case", CASES)
def test_config_rebuilds_it_with_the_same_weights_and_values(case, perturb):
    bijector, x, cond = _made(case, perturb)
    _, event_shape, cond_shape = CASES[case]
    config = keras.saving.serialize_keras_object(bijector)
    copy = keras.saving.deserialize_keras_object(config, safe_mode=True)
    assert type(copy) is type(bijector)
    copy.build(event_shape, cond_shape)
    for layer, original in zip(copy.layers, bijector.layers, strict=True):
        layer.set_weights(original.get_weights())
    for value, expected in zip(
        copy.inverse_and_log_det(x, cond), bijector.inverse_and_log_det(x, cond), strict=True
    ):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_the_same_when_activations_are_rebuilt(case, perturb):
    bijector, x, cond = _made(case, perturb)
    rng = np.random.RandomState(6)
    weight = tf.constant(rng.randn(3, *bijector.latent_shape), x.dtype)
    rows = tf.constant(rng.randn(3), x.dtype)
    parts = [] if cond is None else tf.nest.flatten(cond)
    sources = [x, *parts, *bijector.trainable_variables]

    @tf.function(autograph=False)
    def gradients():
        found = []
        for memory in ("store", "recompute"):
            bijector.memory = memory
            with tf.GradientTape() as tape:
                tape.watch([x, *parts])
                z, log_det = bijector.inverse_and_log_det(x, cond)
                # Upstream gradients that differ for all elements and rows.
                loss = tf.reduce_sum(weight * z**2) + tf.reduce_sum(rows * log_det)
            found.append([loss, *tape.gradient(loss, sources)])
        return found

    for expected, rebuilt in zip(*gradients(), strict=True):
        if expected is None:
            assert rebuilt is None or not np.any(rebuilt)
            continue
        # Rounding, of 1e-7, of a rebuilt activation passes through at most seven members.
        np.testing.assert_allclose(rebuilt, expected, atol=1e-5 * np.abs(expected).max(), rtol=1e-5)


def test_every_exported_bijector_has_a_case():
    exported = {
        name
        for name, value in vars(b).items()
        if inspect.isclass(value) and issubclass(value, b.ConditionalBijector)
    } - {"ConditionalBijector"}
    assert exported == {case.split("-")[0] for case in CASES}
