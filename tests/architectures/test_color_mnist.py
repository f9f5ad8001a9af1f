import numpy as np
import pytest

from tfp_cinn import UsageError, architectures
from tfp_cinn.bijectors import Flatten, GlowCoupling, RandomPermutation, Select, Standardize


def test_it_is_the_papers_network(pairs):
    model = architectures.build("color_mnist", pairs((28, 28, 3), (28, 28, 1)))
    expected = 0
    for c_in, c_out in ((2 + 65, 2), (1 + 65, 4)):  # 3 channels are halved as 1 and 2
        hidden = c_in * 64 + 64 + (c_in + 64) * 64 + 64
        expected += 3 * (hidden + (c_in + 128) * c_out + c_out)
    dense = 1176 * 256 + 256 + 256 * 256 + 256 + 256 * 2352 + 2352
    expected += 7 * 2 * dense
    # What the reference code itself counts of its flow and of its conditioner.
    assert expected == 13_681_884
    assert sum(layer.count_params() for layer in model.flow_layers) == expected
    assert model.conditioner.count_params() == 912_960
    members = model.bijector.bijectors
    assert [type(b) for b in members] == [
        Standardize, *[RandomPermutation, GlowCoupling] * 3, Flatten,
        *[RandomPermutation, Select] * 7,
    ]  # fmt: skip
    assert [b.get_config()["seed"] for b in members[1:7:2]] == [0, 1, 2]
    assert all(b.key is None for b in members[9::2])
    for coupling in (members[2], members[9].bijector):
        assert coupling.get_config()["clamp"] == 1.9
        for net in coupling.layers:
            assert np.all(net.weights[-2] == 0)  # the last layers start at zero
            np.testing.assert_allclose(np.std(net.weights[0]), 0.03, rtol=0.1)


def test_only_the_convolutional_blocks_are_given_the_digit(pairs):
    model = architectures.build(
        "color_mnist", pairs((8, 8, 3), (8, 8, 1)), conv_blocks=0, dense_blocks=1, padded=True
    )
    x = np.random.RandomState(0).rand(2, 8, 8, 3).astype("float32")
    cond = np.random.RandomState(1).rand(2, 8, 8, 1).astype("float32")
    np.testing.assert_array_equal(
        model.distribution.log_prob(x, cond), model.distribution.log_prob(x, cond[::-1])
    )


@pytest.mark.parametrize("conditioner", ["joint", "none"])
def test_dense_blocks_are_given_features_if_so_asked(pairs, perturb, conditioner):
    model = architectures.build(
        "color_mnist",
        pairs((8, 8, 3), (8, 8, 1)),
        conv_blocks=0,
        dense_blocks=2,
        dense_hidden=(8,),
        dense_features=3,
        conditioner=conditioner,
        padded=True,
    )
    # By 0.1: a block then multiplies by at most about 2, and rounding of 1e-7 stays below 1e-6.
    perturb(model.flow_layers, std=0.1)
    x = np.random.RandomState(0).rand(2, 8, 8, 3).astype("float32")
    cond = np.random.RandomState(1).rand(2, 8, 8, 1).astype("float32")
    log_prob = model.distribution.log_prob(x, cond).numpy()
    assert np.abs(log_prob - model.distribution.log_prob(x, cond[::-1])).min() > 1e-3
    z = model.distribution.encode(x, cond)
    np.testing.assert_allclose(model.distribution.decode(z, cond), x, atol=1e-4)


@pytest.mark.parametrize(
    ("shapes", "fields", "message"),
    [
        (((16, 16, 3), (20, 16, 1)), {}, "digit_features are 20x16; the flow needs 16x16"),
        (((16, 16, 3), (20, 16, 1)), {"conditioner": "none"}, "can't be averaged to 16x16"),
        (((16, 16, 3), (16, 16, 1)), {"dense_features": -1}, "dense_features: expected 0 or more"),
    ],
)
def test_wrong_fields_are_answered_in_one_line(shapes, fields, message, pairs):
    with pytest.raises(UsageError, match=message) as caught:
        architectures.build("color_mnist", pairs(*shapes), **fields)
    assert "\n" not in str(caught.value)
