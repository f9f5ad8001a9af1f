import keras
import numpy as np
import pytest

from tfp_cinn import UsageError, architectures, tasks
from tfp_cinn.training import color_digits_config, colorization_config, default_config, pretrain


@pytest.fixture
def config(section):
    config = colorization_config().to_dict()
    config["data"] = section | {"ab_size": 16}
    config["model"] |= {
        "blocks": (1, 1, 1, 1), "widths": (4, 4, 4, 4), "levels": ((8,), (8,), (8,)), "vector": 4,
    }  # fmt: skip
    config["train"] |= {"batch_size": 16, "learning_rate": 1e-2}
    return config


def test_the_conditioner_learns_color_and_the_flow_starts_with_it(config, tmp_path):
    path = tmp_path / "runs" / "c.weights.h5"
    conditioner = pretrain(config, path, epochs=2)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    fields = config["model"] | {"conditioner": "frozen", "pretrained": str(path)}
    keras.utils.set_random_seed(1)
    data = type("Data", (), {"image_shape": (16, 16, 2), "cond_shape": (16, 16, 1)})
    model = architectures.build(data=data, **fields)
    for ours, trained in zip(
        model.conditioner.get_weights(), conditioner.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, trained)
    assert not model.conditioner.trainable_weights
    fresh = architectures.build(data=data, **config["model"]).conditioner
    assert np.abs(fresh.get_weights()[0] - conditioner.get_weights()[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "output", "epochs", "message"),
    [
        ({}, "c.h5", 1, "output: expected a file name that ends in .weights.h5, got"),
        ({}, "/proc/x/c.weights.h5", 1, "output: /proc/x/c.weights.h5 can't be written"),
        ({}, "c.weights.h5", 0, "epochs: expected at least 1, got 0"),
        ({"conditioner": "none"}, "c.weights.h5", 1, 'expected one to train, got "none"'),
    ],
)
def test_wrong_arguments(config, tmp_path, changes, output, epochs, message):
    config["model"] |= changes
    with pytest.raises(UsageError, match=message):
        pretrain(config, tmp_path / output, epochs)
    assert not list(tmp_path.iterdir())


def test_the_conditioner_of_colored_digits_learns_the_colors_of_classes(tmp_path):
    config = color_digits_config().to_dict()
    config["data"] |= {"name": "digits", "num_validation": 150}
    config["model"] |= {
        "conv_blocks": 1, "conv_hidden": (4,), "dense_blocks": 1, "dense_hidden": (4,),
        "cond_width": 16, "cond_channels": (8, 8, 8, 8), "cond_hidden": (32,), "cond_dropout": 0.0,
        "padded": True, "mean": 0.5, "std": 0.3,
    }  # fmt: skip
    config["train"] |= {"batch_size": 64, "learning_rate": 5e-3}
    path = tmp_path / "c.weights.h5"
    conditioner = pretrain(config, path, epochs=4)
    data = tasks.load(config)
    fields = config["model"] | {"conditioner": "frozen", "pretrained": str(path)}
    model = architectures.build(data=data, **fields)
    images, labels = data.images.test
    grays = np.float32(images) / 16
    features = model.conditioner.predict(grays, verbose=0)
    np.testing.assert_allclose(features, conditioner.predict(grays, verbose=0), rtol=1e-5)
    # Digits of one class look alike to it, as the colors that it was trained on do.
    centers = np.stack([features[labels == label].mean(axis=0) for label in range(10)])
    within = np.mean((features - centers[labels]) ** 2)
    assert within < 0.5 * np.mean((features - features.mean(axis=0)) ** 2)


def test_labels_need_no_conditioner(tmp_path):
    config = default_config().to_dict()
    config["data"]["name"] = "digits"
    with pytest.raises(UsageError, match="whose condition is an image, got 'classes'"):
        pretrain(config, tmp_path / "c.weights.h5")
    assert not list(tmp_path.iterdir())
