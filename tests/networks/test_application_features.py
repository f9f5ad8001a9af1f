import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import UsageError
from tfp_cinn.networks import application_features
from tfp_cinn.networks.application_features import LightnessToGray


def test_lightness_becomes_the_gray_of_that_lightness():
    # By scikit-image, lab2rgb of (L, 0, 0) times 255.
    levels = [0.0, 4.0, 20.0, 50.0, 75.0, 100.0]
    expected = [0.0, 14.098, 48.291, 118.914, 184.595, 255.0]
    gray = LightnessToGray()(tf.constant(levels))
    np.testing.assert_allclose(gray, expected, atol=0.01)
    with tf.GradientTape() as tape:
        lightness = tf.constant([-5.0, 0.0, 0.1, 8.0, 100.0, 120.0])
        tape.watch(lightness)
        gray = LightnessToGray()(lightness)
    assert np.all(np.isfinite(tape.gradient(gray, lightness)))
    assert np.all((gray >= 0) & (gray <= 255.01))


def test_taps_by_name_and_by_resolution():
    network = application_features(
        "MobileNetV2",
        (32, 64, 1),
        {"level0": "block_1_expand_relu", "level1": (8, 16)},
        vector="vector",
    )
    assert keras.tree.map_structure(lambda f: tuple(f.shape[1:]), network.output) == {
        "level0": (16, 32, 96), "level1": (8, 16, 144), "vector": (1280,)
    }  # fmt: skip
    x = np.random.RandomState(0).rand(2, 32, 64, 1).astype("float32") * 100
    features = network(x)
    assert all(np.all(np.isfinite(f)) for f in features.values())
    assert np.abs(features["level1"][0] - features["level1"][1]).max() > 1e-3


@pytest.mark.parametrize("application", ["ResNet50", "EfficientNetB0"])
@pytest.mark.long
def test_the_network_is_given_what_its_own_preprocessing_gives(application):
    network = application_features(application, (32, 32, 1), (16, 16))
    inner = next(a for a in network.layers if isinstance(a, keras.Model))
    module = {"ResNet50": "resnet", "EfficientNetB0": "efficientnet"}[application]
    preprocess = getattr(keras.applications, module).preprocess_input
    x = np.random.RandomState(0).rand(2, 32, 32, 1).astype("float32") * 100
    gray = np.repeat(LightnessToGray()(x), 3, axis=-1)
    expected = inner(preprocess(gray))
    np.testing.assert_allclose(network(x), expected["features"], rtol=1e-3, atol=1e-3)


def test_enlarging_brings_taps_to_the_resolution_of_the_image():
    network = application_features("MobileNetV2", (16, 16, 1), (16, 16), enlarge=2)
    assert network.output.shape[1:] == (16, 16, 96)
    # No layer behind the tap is kept, and what is kept is rebuilt without the application.
    assert network.count_params() == 3904
    copy = keras.Model.from_config(network.get_config())
    copy.set_weights(network.get_weights())
    x = np.random.RandomState(0).rand(1, 16, 16, 1).astype("float32") * 100
    np.testing.assert_array_equal(copy(x), network(x))


def small_application(include_top, weights, input_shape):
    image = keras.Input(input_shape)
    half = keras.layers.Conv2D(4, 3, 2, padding="same")(image)
    return keras.Model(image, keras.layers.Conv2D(4, 3, 2, padding="same")(half))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ResNet", (32, 32, 1), (16, 16)), "keras.applications has no network 'ResNet'"),
        (
            ("MobileNetV2", (32, 32, 1), {"level0": (32, 32)}),
            "MobileNetV2 has feature maps of 16x16, 8x8 for images of 32x32; 'level0' needs 32x32; "
            "enlarge the images, or tap others",
        ),
        (("MobileNetV2", (32, 32, 1), "conv9"), "has no layer 'conv9' with a feature map"),
        (("MobileNetV2", (32, 32, 3), (16, 16)), r"expected \(H, W, 1\), got \(32, 32, 3\)"),
        (("MobileNetV2", (32, 32, 1), {}), "taps: expected at least one"),
        (("InceptionV3", (16, 16, 1), (8, 8)), "can't make InceptionV3 for images of shape"),
    ],
)
def test_wrong_arguments_are_answered_in_one_line(monkeypatch, arguments, message):
    monkeypatch.setattr(small_application, "__module__", "keras.src.applications.mobilenet_v2")
    monkeypatch.setattr(keras.applications, "MobileNetV2", small_application)
    with pytest.raises(UsageError, match=message) as caught:
        application_features(*arguments)
    assert "\n" not in str(caught.value)
