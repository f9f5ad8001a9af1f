"""The published conditioning networks, and the gray image in their place."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import UsageError, networks


def conv(c_in, c_out, k=3):
    return k * k * c_in * c_out + c_out


def trainable(network):
    return sum(int(np.prod(w.shape)) for w in network.trainable_weights)


def shapes(network):
    return keras.tree.map_structure(lambda f: tuple(f.shape[1:]), network.output)


def moved(network, std=0.3):
    """The network with weights off their start, and batch statistics of its own."""
    rng = np.random.RandomState(1)
    for w in network.weights:
        w.assign(w + np.abs(std * rng.randn(*w.shape)) / max(1, w.shape[0]) ** 0.5)
    return network


SMALL = {
    "pyramid": lambda: networks.feature_pyramid((8, 12, 1), ((3,), (4, 4), (5,)), 6),
    "zhang": lambda: networks.zhang_features((16, 8, 1), width=2),
    "digits": lambda: networks.digit_features((8, 9, 1), 3, (2, 3, 4, 4), (5,), padded=True),
    "strided": lambda: networks.strided_features((5, 8, 3), [4, 4], 2),
    "vector": lambda: networks.strided_vector((5, 8, 3), [4, 6]),
    "gray": lambda: networks.gray_pyramid((8, 12, 1), {"a": (8, 12), "b": (4, 3)}, (2, 3)),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_ones_map_images_to_features_whatever_else_is_in_the_batch(name, tmp_path):
    network = moved(SMALL[name]())
    x = 50 + 30 * np.random.RandomState(0).randn(3, *network.input_shape[1:]).astype("float32")
    together = keras.tree.flatten(network(x))
    for feature, shape in zip(together, keras.tree.flatten(network.output), strict=True):
        assert feature.shape[1:] == shape.shape[1:]
        assert np.all(np.isfinite(feature))
        assert np.abs(feature[0] - feature[1]).max() > 1e-4
    # Rounding: the order of a product's sums depends on the batch size.
    for feature, alone in zip(together, keras.tree.flatten(network(x[1:2])), strict=True):
        np.testing.assert_allclose(feature[1], alone[0], rtol=1e-3, atol=1e-4)
    traced = tf.function(network, input_signature=[tf.TensorSpec([None, *x.shape[1:]])])
    network.save(tmp_path / "network.keras")
    copy = keras.saving.load_model(tmp_path / "network.keras")
    for other, near in ((traced, 1.0), (copy, 0.0)):
        for feature, same in zip(together, keras.tree.flatten(other(x)), strict=True):
            np.testing.assert_allclose(feature, same, rtol=1e-3 * near, atol=1e-4 * near)


def test_the_pyramid_is_that_of_the_minimal_colorization_example():
    network = networks.feature_pyramid((64, 64, 1))
    assert shapes(network) == {
        "level0": (64, 64, 64), "level1": (32, 32, 128), "level2": (16, 16, 128), "vector": (512,)
    }  # fmt: skip
    # Its layers one by one; 1,455,680 is what the reference code itself counts.
    expected = conv(1, 64) + conv(64, 64) + conv(64, 128) + 2 * conv(128, 128) + 2048 * 512 + 512
    assert trainable(network) == expected == 1_455_680
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds.count("LeakyReLU") == 5
    assert all(a.negative_slope == 0.01 for a in network.layers if hasattr(a, "negative_slope"))
    # Level by level: the sizes are halved, rounded up, as padding by one on each side does.
    odd = networks.feature_pyramid((9, 14, 1), ((2,), (2,), (2,)), vector=None)
    assert shapes(odd) == {"level0": (9, 14, 2), "level1": (5, 7, 2), "level2": (3, 4, 2)}


def test_the_backbone_is_that_of_the_imagenet_experiment():
    network = networks.zhang_features()
    assert shapes(network) == (64, 64, 256)
    channels = [1, 64, 64, 128, 128, 256, 256, 256] + 12 * [512]
    convs = sum(conv(a, b) for a, b in zip(channels[:-1], channels[1:], strict=True))
    norms = 2 * (64 + 128 + 256 + 4 * 512)
    top = 16 * 512 * 256 + 256 + 2 * conv(256, 256)
    # 32,236,013 is what the reference code itself counts, with 81,069 of a head unused here.
    assert trainable(network) == convs + norms + top == 32_236_013 - 81_069
    layers = keras.layers
    dilations = [a.dilation_rate[0] for a in network.layers if type(a) is layers.Conv2D]
    assert dilations == [1] * 10 + [2] * 6 + [1] * 5
    strides = [a.strides[0] for a in network.layers if isinstance(a, layers.Conv2D)]
    assert [k for k, s in enumerate(strides) if s == 2] == [1, 3, 6]
    (up,) = (a for a in network.layers if isinstance(a, layers.Conv2DTranspose))
    assert (up.kernel_size, up.strides, up.padding) == ((4, 4), (2, 2), "valid")
    (crop,) = (a for a in network.layers if isinstance(a, layers.Cropping2D))
    assert (crop.input.shape[1:3], crop.cropping) == ((66, 66), ((1, 1), (1, 1)))
    norm = next(a for a in network.layers if isinstance(a, layers.BatchNormalization))
    assert (norm.epsilon, norm.momentum) == (1e-5, 0.9)


def test_the_digit_features_are_those_of_color_mnist():
    network = networks.digit_features()
    assert shapes(network) == (28, 28, 65)
    expected = conv(1, 32) + conv(32, 64) + 2 * conv(64, 64)
    expected += 1024 * 512 + 512 + 512 * 512 + 512 + 512 * 64 + 64
    # The reference code's own count, without its classifier of 64 x 10 + 10.
    assert trainable(network) == expected == 912_960
    x = np.random.RandomState(0).rand(2, 28, 28, 1).astype("float32")
    features = network(x).numpy()
    np.testing.assert_array_equal(features[..., :1], x)
    np.testing.assert_array_equal(
        features[..., 1:], features[:, :1, :1, 1:] + np.zeros((28, 28, 1))
    )


def test_the_networks_of_single_blocks_are_those_of_the_imagenet_experiment():
    for level, channels in enumerate((32, 64, 128, 256)):
        strided = (128, 128, 256)[:level]
        network = networks.strided_features((64, 64, 256), strided, channels)
        assert shapes(network) == (64 >> level, 64 >> level, channels)
        widths = [256, *strided, channels]
        expected = sum(conv(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))
        assert trainable(network) == expected + 2 * channels
    vector = networks.strided_vector((64, 64, 256))
    assert shapes(vector) == (512,)
    # The reference code's own count.
    assert trainable(vector) == 2_361_472


def test_the_gray_image_itself():
    network = networks.gray_pyramid((4, 6, 1), {"a": (4, 6), "b": (2, 3)}, (1, 2), 10.0, 2.0)
    assert not network.weights
    x = np.random.RandomState(0).rand(2, 4, 6, 1).astype("float32")
    features = network(x)
    z = (x - 10) / 2
    np.testing.assert_allclose(features["a"], z, rtol=1e-6)
    np.testing.assert_allclose(features["b"][:, 1, 2, 0], z[:, 2:, 4:, 0].mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(features["vector"][:, 1], z[:, :, 3:, 0].mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: networks.feature_pyramid((8, 8)), r"expected \(H, W, C\) of an image"),
        (lambda: networks.feature_pyramid((8, 8, 1), ()), "levels: expected the channels of at"),
        (lambda: networks.feature_pyramid((8, 8, 1), ((0,),)), "expected widths of at least 1"),
        (lambda: networks.zhang_features((20, 16, 1)), "expected H and W divisible by 8"),
        (lambda: networks.zhang_features((16, 16, 1), 0), "width: expected at least 1"),
        (lambda: networks.digit_features((8, 8, 1)), "at least 16 pixels a side.*set padded=True"),
        (lambda: networks.digit_features(dropout=1.0), "dropout: expected a rate"),
        (lambda: networks.digit_features(channels=(2, 2)), "expected those of four convolutions"),
        (
            lambda: networks.gray_pyramid((9, 8, 1), {"a": (3, 3)}),
            "an image of 9x8 pixels can't be averaged to 3x3",
        ),
        (lambda: networks.ConvNet([3], negative_slope=1.5), "negative_slope: expected 0 to below"),
        (lambda: networks.MLP([3], "tanh", negative_slope=0.1), "got 0.1 with 'tanh'"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_answered_in_one_line(make, message):
    with pytest.raises(UsageError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
