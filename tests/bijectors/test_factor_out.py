import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_cinn import CINN
from tfp_cinn.bijectors import (
    ActNorm,
    Chain,
    FactorOut,
    Flatten,
    GlowCoupling,
    HaarDownsampling,
    LatentScale,
    RandomPermutation,
    Select,
    SoftPermutation,
    Squeeze,
    Standardize,
)
from tfp_cinn.diagnosis import first_non_finite
from tfp_cinn.networks import MLP

tfb, tfd = tfp.bijectors, tfp.distributions


def three_scales():
    """(4, 8, 3) -> 2 of 3 go on -> (2, 4, 8) -> 5 go on -> (1, 2, 20) -> flat."""
    inner = Chain([Squeeze(), ActNorm(), Flatten(), GlowCoupling(MLP([8], init_std=0.3))])
    outer = Chain([HaarDownsampling(0.5), ActNorm(), FactorOut(5, inner)])
    return Chain([SoftPermutation(0), FactorOut(2, outer)])


SCALES = (
    LatentScale(0, 32, (4, 8, 1)),
    LatentScale(32, 56, (2, 4, 3)),
    LatentScale(56, 96, (40,)),
)


def test_latents_leave_first_and_in_reading_order():
    x = tf.random.normal([2, 3, 4, 5])
    z, log_det = FactorOut(2, Standardize(0.0, 0.5), 3).inverse_and_log_det(x)
    assert z.shape == (2, 60)
    np.testing.assert_array_equal(z[:, :36], tf.reshape(x[..., 2:], [2, -1]))
    np.testing.assert_array_equal(z[:, 36:], 2.0 * tf.reshape(x[..., :2], [2, -1]))
    np.testing.assert_allclose(log_det, 24 * np.log(2.0), rtol=1e-6)


def test_a_scale_holds_what_left_there(perturb):
    chain = three_scales()
    chain.build((4, 8, 3))
    perturb(chain.layers)
    x = tf.random.normal([2, 4, 8, 3])
    z = chain.inverse(x)
    rotation, factor_out = chain.bijectors
    maps = rotation.inverse(x)
    np.testing.assert_allclose(z[:, :32], tf.reshape(maps[..., 2:], [2, -1]), atol=1e-6)
    haar, norm, inner = factor_out.rest.bijectors
    maps = norm.inverse(haar.inverse(maps[..., :2]))
    np.testing.assert_allclose(z[:, 32:56], tf.reshape(maps[..., 5:], [2, -1]), atol=1e-6)
    np.testing.assert_allclose(z[:, 56:], inner.rest.inverse(maps[..., :5]), atol=1e-6)


@pytest.mark.parametrize(
    ("make", "shape", "cond_shape", "scales"),
    [
        (ActNorm, (2, 3), None, [(0, 6, (2, 3))]),
        (Flatten, (2, 2, 3), None, [(0, 12, (12,))]),
        (Squeeze, (2, 4, 3), None, [(0, 24, (1, 2, 12))]),
        (lambda: Chain([SoftPermutation(0), tfb.Exp()]), (5,), None, [(0, 5, (5,))]),
        (lambda: Select("a", FactorOut(2, GlowCoupling(MLP([4])))), (3,), {"a": (2,)},
         [(0, 1, (1,)), (1, 3, (2,))]),
        # a permutation mixes the scales
        (lambda: Chain([FactorOut(2, ActNorm()), RandomPermutation(0)]), (3,), None,
         [(0, 3, (3,))]),
    ],
)  # fmt: skip
def test_every_bijector_has_scales(make, shape, cond_shape, scales):
    bijector = make()
    assert bijector.latent_scales is None
    bijector.build(shape, cond_shape)
    assert bijector.latent_scales == tuple(LatentScale(*s) for s in scales)


def test_calibration_and_layers_reach_through():
    chain = three_scales()
    chain.build((4, 8, 3))
    assert [len(layer.weights) for layer in chain.layers] == [1, 2, 2, 4, 4]
    assert (chain.latent_shape, chain.latent_scales) == ((96,), SCALES)
    x = 3 + 2 * tf.random.normal([512, 4, 8, 3])
    chain.calibrate(x)
    # What leaves after the first ActNorm has mean 0 and standard deviation 1 in every channel.
    left = tf.reshape(chain.inverse(x)[:, 32:56], [-1, 3])
    np.testing.assert_allclose(tf.reduce_mean(left, 0), 0.0, atol=1e-4)
    np.testing.assert_allclose(tf.math.reduce_std(left, 0), 1.0, atol=1e-4)
    second = chain.bijectors[1].rest.bijectors[2].rest.bijectors[1].layers[0]
    assert all(np.all(w.numpy() != 0) for w in second.weights)


def test_the_first_non_finite_bijector_is_named_behind_it():
    model = CINN(three_scales(), (4, 8, 3))
    for weight in model.bijector.layers[-1].weights:
        weight.assign(tf.ones_like(weight) * 1e38)
    x = tf.stack([tf.ones([4, 8, 3]), -tf.ones([4, 8, 3])])
    said = first_non_finite(model.distribution, x, None)
    where = "Chain[1].FactorOut.Chain[2].FactorOut.Chain[3].GlowCoupling"
    assert said.startswith(f"{where} is the first")


def test_empty_batches_of_unknown_size():
    chain = three_scales()
    chain.build((4, 8, 3))
    encode = tf.function(
        chain.inverse_and_log_det, input_signature=[tf.TensorSpec([None, 4, 8, 3])]
    )
    decode = tf.function(chain.forward_and_log_det, input_signature=[tf.TensorSpec([None, 96])])
    for n in (0, 3):
        x = tf.random.normal([n, 4, 8, 3])
        z, log_det = encode(x)
        assert (z.shape, log_det.shape) == ((n, 96), (n,))
        np.testing.assert_allclose(decode(z)[0], x, atol=1e-5)
