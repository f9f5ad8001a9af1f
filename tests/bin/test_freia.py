"""From a PyTorch file to a run and back, through the binaries as a user calls them."""

import numpy as np
import pytest
import safetensors.numpy

from tests.helpers.binaries import call
from tfp_cinn import architectures
from tfp_cinn.data import load_nothing
from tfp_cinn.interop import export_freia

pytestmark = pytest.mark.long

CONFIG = [
    "--config=configs/mnist_minimal.py",
    "--config.model.blocks=1",
    "--config.model.hidden=(4,)",
]


def test_weights_become_a_run_and_weights_again(tmp_path):
    model = architectures.dense_glow(load_nothing("mnist"), blocks=1, hidden=(4,), mean=0, std=1)
    tensors = export_freia(model)
    theirs, run, back = (tmp_path / name for name in ("t.safetensors", "run", "b.safetensors"))
    safetensors.numpy.save_file(tensors, theirs)
    done = call("import_freia", *CONFIG, f"--weights={theirs}", f"--workdir={run}")
    assert done.returncode == 0, done.stderr
    done = call("export_freia", f"--workdir={run}", f"--output={back}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(back)]
    found = safetensors.numpy.load_file(back)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)


def test_what_does_not_fit_is_one_line(tmp_path):
    safetensors.numpy.save_file({"w": np.zeros(3)}, tmp_path / "theirs.safetensors")
    done = call(
        "import_freia",
        *CONFIG,
        f"--weights={tmp_path / 'theirs.safetensors'}",
        f"--workdir={tmp_path / 'r'}",
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "theirs.safetensors: none of 1 tensors (w) has a name of this network" in done.stderr
    assert not (tmp_path / "r").exists()
