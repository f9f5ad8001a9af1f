"""The multi-scale conditional flow of the paper's colorization network, made small."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import CINN
from tfp_cinn.bijectors import (
    Chain,
    FactorOut,
    Flatten,
    GlowCoupling,
    HaarDownsampling,
    RandomPermutation,
    Select,
    SoftPermutation,
)
from tfp_cinn.diagnosis import first_non_finite
from tfp_cinn.networks import MLP, ConvNet
from tfp_cinn.testing import assert_bijector_consistent

SHAPE, COND_SHAPE = (8, 4, 3), (8, 4, 1)
# Of 8 x 4 x 3 pixels, 12 channels at 4 x 2 of which 5 go on, 20 at 2 x 1 of which 4 go on.
SCALES = [(0, 56, (4, 2, 7)), (56, 88, (2, 1, 16)), (88, 96, (8,))]


def conditioner():
    """Features for each resolution, of odd channel counts, and a vector."""
    layers = keras.layers
    image = keras.Input(COND_SHAPE)
    full = layers.Conv2D(3, 3, padding="same", activation="tanh")(image)
    half = layers.Conv2D(5, 3, strides=2, padding="same", activation="tanh")(full)
    quarter = layers.Conv2D(1, 3, strides=2, padding="same", activation="tanh")(half)
    vector = layers.Dense(7)(layers.Flatten()(half))
    return keras.Model(image, {"8x4": full, "4x2": half, "2x1": quarter, "vector": vector})


def conv_blocks(key, kernel_sizes, clamp):
    """Glow couplings with feature maps, each followed by a permutation as in the paper."""
    blocks = []
    for k, kernel_size in enumerate(kernel_sizes):
        subnet = ConvNet([6], kernel_size=kernel_size, activation="tanh")
        coupling = GlowCoupling(subnet, clamp=clamp, event_ndims=3)
        blocks += [Select(key, coupling), SoftPermutation(k)]
    return blocks


def flow():
    dense = [Select("vector", GlowCoupling(MLP([8], "tanh"), clamp=0.6)), RandomPermutation(0)]
    quarter = [HaarDownsampling(0.5), *conv_blocks("2x1", [1, 3], 0.6)]
    quarter.append(FactorOut(4, Chain([Flatten(), *dense])))
    half = [HaarDownsampling(0.5), *conv_blocks("4x2", [1, 3], 1.0), FactorOut(5, Chain(quarter))]
    return Chain([*conv_blocks("8x4", [3, 3], 1.0), *half])


@pytest.fixture
def model(perturb):
    model = CINN(flow(), SHAPE, conditioner(), COND_SHAPE)
    # Moderately: every block of a flow amplifies the rounding of those before it.
    perturb([model], std=0.1)
    return model


@pytest.fixture
def data():
    rng = np.random.RandomState(0)
    return tuple(rng.randn(3, *s).astype("float32") for s in (SHAPE, COND_SHAPE))


def test_consistent_and_every_part_of_the_condition_counts(model, data):
    x, cond = data
    features = model.distribution.features(cond)
    assert {key: tuple(f.shape[1:]) for key, f in features.items()} == {
        "8x4": (8, 4, 3), "4x2": (4, 2, 5), "2x1": (2, 1, 1), "vector": (7,)
    }  # fmt: skip
    assert_bijector_consistent(model.bijector, tf.constant(x), features, jit_compile=False)
    z = model.bijector.inverse_and_log_det(x, features)[0]
    for key in features:
        other = features | {key: features[key] + 1.0}
        moved = np.abs(model.bijector.inverse_and_log_det(x, other)[0] - z)
        assert moved.max() > 1e-3, key


def test_one_scale_can_be_drawn_anew(model, data):
    x, cond = data
    dist, scales = model.distribution, model.bijector.latent_scales
    assert [tuple(s) for s in scales] == SCALES
    covered = np.concatenate([np.arange(s.start, s.stop) for s in scales])
    np.testing.assert_array_equal(covered, np.arange(96))
    z = dist.encode(x, cond).numpy()
    for scale in scales:
        new = z.copy()
        new[:, scale.start : scale.stop] = np.random.randn(3, scale.stop - scale.start)
        moved = dist.decode(new, cond)
        assert np.abs(moved - x).max() > 1e-2
        np.testing.assert_allclose(dist.encode(moved, cond), new, atol=1e-4)


def test_the_first_non_finite_bijector_is_named_behind_factor_out(model, data):
    x, cond = data
    inner = model.bijector.bijectors[-1].rest.bijectors[-1].rest.bijectors[1].bijector
    for weight in inner.layers[0].weights:
        weight.assign(tf.ones_like(weight) * 1e38)
    assert first_non_finite(model.distribution, tf.constant(x), tf.constant(cond)).startswith(
        "Chain[9].FactorOut.Chain[5].FactorOut.Chain[1].Select('vector').GlowCoupling is the first"
    )
