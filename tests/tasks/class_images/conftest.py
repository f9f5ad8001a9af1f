import keras
import pytest

from tfp_cinn import CINN
from tfp_cinn.bijectors import Chain, Standardize
from tfp_cinn.networks import OneHot
from tfp_cinn.tasks import ClassImages
from tfp_cinn.workdir import Workdir


@pytest.fixture(scope="session")
def workdir(tmp_path_factory, digits):
    """A run whose model is Gaussian noise around the mean of digits, whatever the class."""
    section = {
        "task": "classes", "name": "digits", "idx_dir": None, "data_dir": None,
        "num_validation": None, "noise_std": 0.0,
    }  # fmt: skip
    workdir = Workdir(tmp_path_factory.mktemp("runs") / "run")
    workdir.prepare({"data": section, "model": {"std": None}})
    workdir.describe("classes", ClassImages(digits).description)
    keras.utils.set_random_seed(0)
    flow = Chain([Standardize(digits.mean, digits.std)])
    CINN(flow, digits.image_shape, OneHot(10), cond_shape=()).save(workdir.model_path)
    return workdir
