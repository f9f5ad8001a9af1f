import os
import shutil
import signal
import zipfile

import numpy as np
import pandas as pd
import pytest

from tests.helpers.child import small_config
from tfp_cinn.tasks import ClassImages
from tfp_cinn.training import checkpoints, train
from tfp_cinn.training.resumable import Resumable
from tfp_cinn.workdir import Workdir


@pytest.fixture
def config():
    return small_config()


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Samples take a quarter of the time of these short runs; `finished` has them."""
    monkeypatch.setattr(ClassImages, "draw_samples", lambda *_: None)


@pytest.fixture(scope="package")
def finished(tmp_path_factory):
    """A run of two epochs with checkpoints after each of its six steps; to be copied."""
    path = tmp_path_factory.mktemp("runs") / "finished"
    train(small_config(), path)
    return Workdir(path)


@pytest.fixture
def workdir(finished, tmp_path):
    return Workdir(shutil.copytree(finished.path, tmp_path / "run"))


@pytest.fixture
def stop_after(monkeypatch):
    """Sends SIGTERM to this process after the given steps of all runs together."""
    count, stops = [0], set()
    count_batch = Resumable.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        count[0] += 1
        if count[0] in stops:
            os.kill(os.getpid(), signal.SIGTERM)
        count_batch(self, batch, logs)

    monkeypatch.setattr(Resumable, "on_train_batch_end", on_train_batch_end)
    return stops.update


@pytest.fixture
def assert_same_run():
    """Everything that two runs have learnt is equal, bit for bit."""
    return _assert_same_run


def _assert_same_run(one, other):
    states = [_state(checkpoints.newest(run)) for run in (one, other)]
    assert states[0].keys() == states[1].keys()
    assert not [k for k, v in states[0].items() if not np.array_equal(v, states[1][k])]
    rows = [pd.read_csv(run / "metrics.csv") for run in (one, other)]
    times = ["seconds", "examples_per_second"]
    assert (rows[0][times] > 0).all().all()
    pd.testing.assert_frame_equal(*(each.drop(columns=times) for each in rows), check_exact=True)
    for a, b in zip(*(run.load_model().get_weights() for run in (one, other)), strict=True):
        np.testing.assert_array_equal(a, b)


def _state(path):
    with zipfile.ZipFile(path) as archive, np.load(path) as arrays:
        members = [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]
        return {name: arrays[name] for name in members} | {"name": path.name}
