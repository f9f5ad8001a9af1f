import json

import keras
import pytest

from tfp_cinn import CINN
from tfp_cinn.bijectors import Chain, Standardize
from tfp_cinn.networks import OneHot
from tfp_cinn.tasks import ClassImages
from tfp_cinn.workdir import Workdir


@pytest.fixture
def workdir(tmp_path, digits):
    """A run whose model is Gaussian noise around the mean of digits, whatever the class."""
    section = {"name": "digits", "idx_dir": None, "data_dir": None, "num_validation": None}
    workdir = Workdir(tmp_path / "run")
    workdir.prepare({"data": section})
    workdir.describe("classes", ClassImages(digits).facts)
    keras.utils.set_random_seed(0)
    flow = Chain([Standardize(digits.mean, digits.std)])
    CINN(flow, digits.image_shape, OneHot(10), cond_shape=()).save(workdir.model_path)
    return workdir


@pytest.fixture
def edit(workdir):
    """Changes fields of a JSON file of the run; None removes one."""

    def edit(file, **fields):
        content = json.loads((workdir / file).read_text()) | fields
        content = {key: value for key, value in content.items() if value is not None}
        (workdir / file).write_text(json.dumps(content))

    return edit
