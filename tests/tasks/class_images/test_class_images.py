"""Figures and samples of images given their class."""

import json
import os

import numpy as np
import pytest
from matplotlib import image

from tfp_cinn import UsageError
from tfp_cinn.tasks import evaluate, sample
from tfp_cinn.tasks.class_images import task as module
from tfp_cinn.tasks.sampler import ModelSampler


@pytest.fixture(autouse=True)
def trained_once(monkeypatch, classifier):
    monkeypatch.setattr(module, "train_classifier", lambda images, seed: classifier)


@pytest.fixture
def instead(monkeypatch):
    """Replaces what the model draws."""

    def draw(x):
        x = x.swapaxes(0, 1)
        monkeypatch.setattr(ModelSampler, "draw", lambda *_: x)

    return draw


@pytest.fixture
def copies(digits):
    """Stands for samples: 8 training images of each class, in bin centers."""
    rows = [digits.train.images[digits.train.labels == k][:8] for k in range(10)]
    return np.stack(rows).astype(np.float32) + 0.5


def drawn(workdir, path, **kwargs):
    with np.load(sample(workdir.path, output=path, **kwargs)) as arrays:
        return dict(arrays)


def test_noise_is_told_from_digits(workdir, capsys):
    result = evaluate(workdir.path, num_samples=50)
    *table, last = capsys.readouterr().out.splitlines()
    assert json.loads(last) == result == workdir.evaluation()
    assert sum("bits/dim" in line for line in table) == 1
    assert (result["task"], result["dataset"]) == ("classes", "digits")
    assert result["model_sha256"] == workdir.model_sha256()
    assert result["options"] == {
        "batch_size": 250, "num_samples": 50, "temperature": 1.0, "seed": 0,
    }  # fmt: skip
    recognized = result["cnn_accuracy"]
    assert recognized["real"]["mean"] > 0.95 and recognized["samples"]["mean"] < 0.3
    assert list(result["cnn_accuracy_by_class"]) == [str(k) for k in range(10)]
    assert result["diversity_ratio"]["mean"] > 1.3
    distance = result["neighbor_distance"]
    assert distance["samples"]["mean"] > 2 * distance["real"]["mean"]
    assert abs(result["latent_std"]["mean"] - 1) < 0.02
    assert 0 <= result["class_accuracy"]["mean"] < 0.3


def test_copies_are_recognized_as_digits_and_as_copies(workdir, copies, instead):
    copies[3, 2, 0, 0], copies[4, 1] = np.nan, np.inf
    instead(copies)
    result = evaluate(workdir.path, num_samples=8)
    assert result["non_finite_samples"]["mean"] == 2
    distance = result["neighbor_distance"]
    assert distance["samples"]["mean"] < 0.1 * distance["real"]["mean"]
    assert result["cnn_accuracy"]["samples"]["mean"] > 0.9
    assert 0.8 < result["diversity_ratio"]["mean"] < 1.2


def test_cold_samples_are_all_the_same(workdir):
    result = evaluate(workdir.path, num_samples=2, temperature=0.0)
    assert result["pair_distance"]["samples"]["mean"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 1}, "num_samples: expected 2 or more"),
        ({"speed": 2}, "speed: not an option of the task 'classes'"),
    ],
)
def test_wrong_options_of_an_evaluation_are_refused(workdir, arguments, message):
    with pytest.raises(UsageError, match=message):
        evaluate(workdir.path, **arguments)


def test_npz_holds_samples_in_gray_levels(workdir, tmp_path):
    got = drawn(workdir, tmp_path / "x.npz", cond=[3, 7], num_samples=300, temperature=0.5, seed=4)
    assert got["x"].shape == (300, 2, 8, 8, 1) and got["x"].dtype == np.float32
    assert got["log_prob"].shape == (300, 2)
    assert got["cond"].tolist() == [3, 7] and got["cond"].dtype == np.int32
    # The model is N(4.884 + 0.5, 6.017^2) in every pixel, of which there are 38,400.
    assert abs(got["x"].mean() - 5.38) < 0.1
    assert abs(got["x"].std() - 6.02 * 0.5) < 0.1
    assert sorted(os.listdir(tmp_path)) == ["x.npz"]
    again = drawn(workdir, tmp_path / "x.npz", cond="7", num_samples=5, temperature=0.5, seed=4)
    np.testing.assert_allclose(again["x"][:, 0], got["x"][:5, 1], atol=1e-5)


def test_one_class_is_drawn_as_a_grid_and_several_as_rows(workdir, tmp_path, capsys):
    def shape(**kwargs):
        return image.imread(sample(workdir.path, **kwargs)).shape[:2]

    height, width = shape(cond=[3], num_samples=60, output=tmp_path / "x.png")
    assert 0.8 < height / width < 1.2
    height, width = shape(cond=[3, 4], num_samples=30)
    assert height / width < 0.2
    assert capsys.readouterr().out.splitlines()[-1] == str(workdir / "samples.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 0}, "num_samples: expected 1 or more, got 0"),
        ({"temperature": -0.1}, "temperature: expected 0 or more"),
        ({"temperature": 1e38, "output": "x.npz"}, "120 of 120 samples hold NaN or infinity"),
        ({"seed": 2**63}, "seed: expected"),
        ({"output": "x.jpg"}, "expected a .npz or .png file in a folder that exists"),
        ({"num_samples": 10_001, "cond": [1]}, "use a .npz file"),
        ({"num_samples": 10**9, "output": "x.npz"}, "num_samples: an array [1000000000, 10, 8, 8"),
    ],
)
def test_wrong_arguments_of_samples_are_refused(workdir, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        sample(workdir.path, **{"output": "x.png"} | arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not os.listdir(tmp_path)
