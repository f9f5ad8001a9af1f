"""The Python of the README works when pasted."""

import pathlib
import re

import numpy as np
import pytest

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.S)


@pytest.mark.slow
def test_the_first_example_trains_a_model_that_others_use(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(BLOCKS[0], names)
    assert names["x"].shape == (8, 2, 8, 8, 1)
    assert np.all(np.isfinite(names["nats"]))
    history = names["model"].history.history["nats_per_dim"]
    assert history[-1] < history[0] - 0.3
    assert (tmp_path / "digits.keras").exists()
    names["cond"] = [3, 7]
    exec(BLOCKS[1], names)
    assert names["d"].batch_shape == (2,)


def test_the_plain_tfp_example_has_gradients_for_all_weights():
    names = {}
    exec(BLOCKS[2], names)
    assert len(names["gradients"]) == 16
    assert all(g is not None for g in names["gradients"])


def test_the_configs_it_names_exist():
    for name in re.findall(r"`(\w+\.py)`", README):
        assert (pathlib.Path(__file__).parents[1] / "configs" / name).exists(), name
