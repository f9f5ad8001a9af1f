import keras
import numpy as np
import pytest
from PIL import Image

from tfp_cinn import CINN
from tfp_cinn.bijectors import Chain, Flatten, GlowCoupling, SoftPermutation, Standardize
from tfp_cinn.networks import MLP
from tfp_cinn.tasks import Colorization
from tfp_cinn.workdir import Workdir


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Thirty synthetic photographs: what is light is reddish, what is dark is bluish."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.RandomState(0)
    for k in range(30):
        light = rng.uniform(40, 200, (5, 6, 1))
        rgb = np.clip(light + (light - 120) * [0.5, 0.0, -0.5], 0, 255).astype(np.uint8)
        image = Image.fromarray(rgb).resize((96, 80), Image.Resampling.BICUBIC)
        image.save(folder / f"{k}.png")
    return folder


@pytest.fixture(scope="session")
def section(folder):
    return {
        "task": "colorization", "name": "photos", "folder": str(folder), "data_dir": None,
        "downscale": 2, "size": 16, "ab_size": 8, "validation_fraction": 0.2,
        "test_fraction": 0.3, "noise_std": 0.1,
    }  # fmt: skip


@pytest.fixture(scope="session")
def experiment(section):
    return Colorization.load({"data": section})


@pytest.fixture(scope="session")
def workdir(tmp_path_factory, section, experiment):
    """A run whose flow has learnt for a moment."""
    keras.utils.set_random_seed(0)
    image = keras.Input(experiment.cond_shape)
    scaled = keras.layers.Rescaling(0.02, -1.0)(image)
    features = keras.layers.Flatten()(keras.layers.AveragePooling2D(2)(scaled))
    flow = [Standardize([2.4, 7.4], [11.2, 16.8]), Flatten()]
    for k in range(2):
        flow += [SoftPermutation(k), GlowCoupling(MLP([64]))]
    model = CINN(
        Chain(flow), experiment.image_shape, keras.Model(image, features), experiment.cond_shape
    )
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(experiment.training_batches(16, 0).repeat(20), verbose=0)
    workdir = Workdir(tmp_path_factory.mktemp("runs") / "colors")
    workdir.prepare({"data": section, "model": {}})
    workdir.describe(experiment.name, experiment.description)
    model.save(workdir.model_path)
    return workdir
