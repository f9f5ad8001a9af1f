"""From a PyTorch file to a run and back, through the binaries as a user calls them."""

import numpy as np
import pytest
from binaries import call

from tfp_cinn import architectures
from tfp_cinn.data import load_nothing
from tfp_cinn.interop import export_freia, read_state_dict, write_state_dict

pytestmark = pytest.mark.slow

CONFIG = [
    "--config=configs/mnist_minimal.py",
    "--config.model.blocks=1",
    "--config.model.hidden=(4,)",
]


def test_weights_become_a_run_and_weights_again(tmp_path):
    model = architectures.dense_glow(load_nothing("mnist"), blocks=1, hidden=(4,), mean=0, std=1)
    tensors = export_freia(model)
    write_state_dict(tmp_path / "theirs.pt", tensors)
    run, back = tmp_path / "run", tmp_path / "back.pt"
    done = call("import_freia", *CONFIG, f"--weights={tmp_path / 'theirs.pt'}", f"--workdir={run}")
    assert done.returncode == 0, done.stderr
    done = call("export_freia", f"--workdir={run}", f"--output={back}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(back)]
    found = read_state_dict(back)
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)


def test_what_does_not_fit_is_one_line(tmp_path):
    write_state_dict(tmp_path / "theirs.pt", {"w": np.zeros(3)})
    done = call(
        "import_freia",
        *CONFIG,
        f"--weights={tmp_path / 'theirs.pt'}",
        f"--workdir={tmp_path / 'r'}",
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "theirs.pt: none of 1 tensors (w) has a name of this network" in done.stderr
    assert not (tmp_path / "r").exists()
