import csv
import zipfile

import numpy as np
import pytest

from tests.helpers.child import small_config
from tfp_cinn.training import checkpoints
from tfp_cinn.workdir import Workdir


@pytest.fixture
def config():
    return small_config()


@pytest.fixture
def assert_same_run():
    """Everything that two runs have learnt is equal, bit for bit."""
    return _assert_same_run


def _assert_same_run(one, other):
    states = [_state(checkpoints.newest(Workdir(path))) for path in (one, other)]
    assert states[0].keys() == states[1].keys()
    different = [k for k, v in states[0].items() if not np.array_equal(v, states[1][k])]
    assert not different
    rows = [_rows(path) for path in (one, other)]
    assert rows[0] == rows[1]
    models = [Workdir(path).load_model() for path in (one, other)]
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(a, b)


def _state(path):
    with zipfile.ZipFile(path) as archive, np.load(path) as arrays:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        assert members
        return {name: arrays[name.removesuffix(".npy")] for name in members} | {"name": path.name}


def _rows(path):
    with open(path / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert float(row.pop("seconds")) > 0 and float(row.pop("examples_per_second")) > 0
    return rows
