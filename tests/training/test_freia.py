"""A run's folder made of a PyTorch file."""

import json
import pathlib
import re

import keras
import numpy as np
import pytest
import safetensors.numpy
import torch

import tfp_cinn
from tfp_cinn import UsageError, architectures, tasks
from tfp_cinn.data import load_nothing
from tfp_cinn.interop import export_freia, read_checkpoint
from tfp_cinn.training import (
    color_digits_config,
    colorization_config,
    default_config,
    import_run_from_freia,
    train,
)


@pytest.fixture
def config():
    """Of a small network for digits, trained elsewhere."""
    config = default_config()
    config.data.update({"name": "digits", "num_validation": 150})
    config.model.update({"blocks": 2, "hidden": (8,), "mean": 4.9, "std": 6.0})
    return config.to_dict(preserve_field_references=False)


def save(tensors, path):
    torch.save({name: torch.tensor(each) for name, each in tensors.items()}, path)


@pytest.fixture
def weights(config, tmp_path):
    """A file of it."""
    keras.utils.set_random_seed(1)
    config = config["model"] | {"init_std": 0.1, "zero_last": False}
    model = architectures.build(data=load_nothing("digits"), **config)
    save(export_freia(model), tmp_path / "theirs.pt")
    return tmp_path / "theirs.pt"


def test_an_imported_run_serves_as_if_it_had_been_trained_here(config, weights, tmp_path, capsys):
    run = tmp_path / "runs" / "imported"
    model = import_run_from_freia(config, weights, run)
    assert str(run / "model.keras") in capsys.readouterr().out
    assert json.loads((run / "task.json").read_text())["class_names"][3] == "3"
    saved = tfp_cinn.load_model(run / "model.keras")
    for a, b in zip(model.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)

    picture = tasks.sample(run, cond=["3", "7"], num_samples=2, output=tmp_path / "x.npz")
    assert np.load(picture)["x"].shape == (2, 2, 8, 8, 1)
    theirs, back = read_checkpoint(weights), export_freia(saved)
    assert theirs.keys() == back.keys()
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(tensor, back[name])


def test_the_python_of_the_docs_works_when_pasted(config, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    import_run_from_freia(config, weights, "runs/mnist")
    weights.rename("checkpoint.pt")
    text = (pathlib.Path(__file__).parents[2] / "docs/freia.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    exec(block, {})
    back = safetensors.numpy.load_file("mnist.safetensors")
    assert back.keys() == read_checkpoint("checkpoint.pt").keys()


def damaged(weights):
    weights.write_bytes(weights.read_bytes()[:-100])


def of_another_network(weights):
    tensors = dict(read_checkpoint(weights))
    del tensors["cinn.module_list.3.s1.0.bias"]
    save(tensors, weights)


def with_code(weights):
    weights.write_bytes(b"\x80\x02cos\nsystem\n(S'touch harmed'\ntR.")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            damaged,
            "theirs.pt: expected weights that torch.save or safetensors wrote, but .* damaged",
        ),
        (
            of_another_network,
            r"theirs.pt: expected the 16 .* 15: missing 1 \(cinn.module_list.3.s1",
        ),
        (with_code, "theirs.pt: refused, since its pickle names 'os.system'"),
        (pathlib.Path.unlink, r"theirs.pt: can't be read \(No such file"),
    ],
)
def test_a_wrong_file_leaves_no_trace(config, weights, tmp_path, monkeypatch, spoil, message):
    monkeypatch.chdir(tmp_path)
    spoil(weights)
    with pytest.raises(UsageError, match=message) as caught:
        import_run_from_freia(config, weights, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"theirs.pt"}


def test_a_run_that_is_there_is_kept(config, weights, tmp_path):
    import_run_from_freia(config, weights, tmp_path / "run")
    with pytest.raises(UsageError, match="holds a run already; choose another workdir"):
        import_run_from_freia(config, weights, tmp_path / "run")
    before = (tmp_path / "run/model.keras").read_bytes()
    with pytest.raises(UsageError, match="model.keras: holds weights that weren't trained here"):
        train(config, tmp_path / "run")
    assert (tmp_path / "run/model.keras").read_bytes() == before


def test_gray_levels_that_only_the_data_know_have_to_be_given(config, weights, tmp_path):
    config["model"]["mean"] = None
    with pytest.raises(UsageError, match="digits: has no training images here .* config.model.mea"):
        import_run_from_freia(config, weights, tmp_path / "run")


@pytest.mark.parametrize(
    ("config", "description"),
    [
        (default_config, {"dataset": "mnist", "levels": 256,
                          "image_shape": [28, 28, 1], "class_names": list("0123456789")}),
        (color_digits_config, {"dataset": "mnist", "image_shape": [28, 28, 3],
                               "cond_shape": [28, 28, 1], "class_names": list("0123456789")}),
        (colorization_config, {"dataset": "photographs", "image_shape": [64, 64, 2],
                               "cond_shape": [64, 64, 1]}),
    ],
    ids=["classes", "color_digits", "colorization"],
)  # fmt: skip
def test_shapes_and_classes_are_known_without_data(config, description):
    experiment = tasks.without_data(config().to_dict(preserve_field_references=False))
    assert experiment.description == description
