import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import UsageError
from tfp_cinn.networks import color_regressor, feature_pyramid, load_weights, zhang_features


def pyramid(width=4):
    return feature_pyramid((16, 16, 1), ((width,), (width, width)), 5)


@pytest.mark.parametrize("make", [pyramid, lambda: zhang_features((64, 64, 1), width=1)])
def test_every_weight_of_the_conditioner_is_trained(make):
    conditioner = make()
    regressor = color_regressor(conditioner, (16, 16, 2))
    assert regressor.output_shape == (None, 16, 16, 2)
    x = np.random.RandomState(0).rand(2, *conditioner.input_shape[1:]).astype("float32") * 100
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(regressor(x)))
    weights = conditioner.trainable_weights
    for w, gradient in zip(weights, tape.gradient(loss, [w.value for w in weights]), strict=True):
        assert gradient is not None, w.path
        assert np.any(gradient != 0), w.path


def test_means_are_those_of_the_channels():
    with pytest.raises(UsageError, match="one for each of 3 channels"):
        color_regressor(pyramid(), (16, 16, 3))


@pytest.mark.parametrize("name", ["c.weights.h5", "c.keras"])
def test_trained_weights_are_loaded(name, tmp_path):
    trained, fresh = pyramid(), pyramid()
    (trained.save_weights if name.endswith("h5") else trained.save)(tmp_path / name)
    load_weights(fresh, tmp_path / name)
    for a, b in zip(fresh.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_wrong_file_is_answered_in_one_line(tmp_path):
    def refused(path, message):
        with pytest.raises(UsageError, match=message) as caught:
            load_weights(pyramid(), path)
        assert "\n" not in str(caught.value)

    refused(tmp_path / "none.weights.h5", "no such weights file")
    garbage = tmp_path / "garbage.weights.h5"
    garbage.write_bytes(b"\0" * 99)
    refused(garbage, "expected the weights of a feature_pyramid")
    refused(garbage.rename(tmp_path / "garbage.keras"), "expected the weights of a feature_pyramid")
    others = {"wider": pyramid(5), "more": color_regressor(pyramid(), (16, 16, 2))}
    for name, other in others.items():
        for suffix, save in ((".weights.h5", other.save_weights), (".keras", other.save)):
            save(tmp_path / f"{name}{suffix}")
            refused(tmp_path / f"{name}{suffix}", "expected the weights of a feature_pyramid")
