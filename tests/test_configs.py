import importlib.util
import pathlib

import numpy as np
import pytest

from tfp_cinn import architectures, configs, data
from tfp_cinn.configs import (
    TrainConfig,
    class_images_config,
    color_digits_config,
    colorization_config,
    default_config,
)
from tfp_cinn.tasks import ColorDigits

WHOLE = {
    "class_images": class_images_config,
    "classes": default_config,
    "color_digits": color_digits_config,
    "colorization": colorization_config,
}
CONFIGS = sorted(pathlib.Path(configs.__file__).parent.glob("[!_]*.py"))
CONFIGS = [path for path in CONFIGS if path.stem != "arrays"]  # with fields of its own

DENSE = 402 * 512 + 512, 512 * 784 + 784, 512 * 512 + 512  # first, last, and inner layers


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_has_the_fields_of_its_kind_and_of_its_architecture(path):
    config = load(path)
    whole = WHOLE.get(path.stem, WHOLE[config.data.task])()
    for section in ("data", "train"):
        assert set(config[section]) == set(whole[section])
    architecture = config.model.architecture
    assert set(config.model) - {"architecture"} <= set(architectures.arguments(architecture))
    if "idx_dir" in config.data:
        assert config.data.name in data.DATASETS


@pytest.mark.parametrize(
    ("name", "blocks", "parameters"),
    [
        ("mnist_minimal", 20, 2 * (DENSE[0] + DENSE[1])),
        ("mnist_paper", 24, 2 * (DENSE[0] + 2 * DENSE[2] + DENSE[1])),
    ],
)
def test_the_published_configs_build_the_published_networks(name, blocks, parameters):
    (path,) = (p for p in CONFIGS if p.stem == name)
    config = load(path)
    assert config.model.blocks == blocks
    config.model.blocks = 1  # all are alike, of millions of weights
    split = data.Split(np.zeros((4, 28, 28, 1), np.uint8), np.zeros(4, np.int32))
    mnist = data.LabeledImages("mnist", split, split, split, 10, 256)
    model = architectures.build(data=mnist, **config.model.to_dict())
    assert model.count_params() == parameters
    first, last = (model.flow_layers[0].weights[k].numpy() for k in (0, -2))
    np.testing.assert_allclose(first.std(), config.model.init_std, rtol=0.05)
    assert (np.abs(last).max() == 0) == (name == "mnist_paper")
    # Black pixels are where the reference puts them: (0 - mean) / std in units of 255.
    z = (0.5 - config.model.mean) / config.model.std
    np.testing.assert_allclose(z, {"mnist_minimal": -0.128 / 0.305, "mnist_paper": 0.0}[name])


def test_color_mnist_is_the_published_one():
    (path,) = (p for p in CONFIGS if p.stem == "color_mnist")
    config = load(path)
    split = data.Split(np.zeros((4, 28, 28, 1), np.uint8), np.zeros(4, np.int32))
    experiment = ColorDigits(data.LabeledImages("mnist", split, split, split, 10, 256))
    model = architectures.build(data=experiment, **config.model.to_dict())
    assert model.count_params() == 13_681_884 + 912_960  # the flow, and its conditioner
    # The reference's loss is summed over the dimensions of x.
    np.testing.assert_allclose(model.weight_prior * model.dimensions, 1e-5)
    np.testing.assert_allclose(config.train.epsilon * model.dimensions, 1e-6)
    assert (config.data.name, config.data.noise_std) == ("mnist", 0.15)
    assert (config.train.batch_size, config.train.learning_rate) == (512, 1e-4)
    train = TrainConfig.of(config.train)
    np.testing.assert_allclose(train.rate(train.epochs - 1), 0.01 * train.learning_rate, rtol=0.01)
