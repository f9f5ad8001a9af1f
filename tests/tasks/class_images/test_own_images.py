"""A folder of tinted digits, a class each, from training to an exported model."""

import colorsys
import json

import numpy as np
import pytest
from matplotlib import image
from PIL import Image

from tfp_cinn import UsageError, tasks
from tfp_cinn.client.ask import ask_for_samples
from tfp_cinn.export import export_run
from tfp_cinn.metrics import classifier
from tfp_cinn.training import class_images_config, train

NAMES = ("red", "green", "blue")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, digits):
    """40 digits of each of three classes in the color of their class, of two formats."""
    root = tmp_path_factory.mktemp("tinted")
    for label, name in enumerate(NAMES):
        (root / name).mkdir()
        tint = colorsys.hsv_to_rgb(label / 3, 0.9, 1)
        rows = np.flatnonzero(digits.train.labels == label)[:40]
        for k, gray in enumerate(digits.train.images[rows]):
            pixels = (gray / 16 * 255 * np.array(tint)).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{k}.{'png' if k % 2 else 'webp'}")
    (root / "red" / "text.png").write_text("none")
    return root


@pytest.fixture(scope="module")
def config(folder):
    config = class_images_config()
    config.data.folder, config.data.size = str(folder), (6, 6)
    config.data.test_fraction = 0.45
    config.model.blocks, config.model.hidden = 2, (16,)
    config.train.epochs, config.train.batch_size = 2, 32
    return config.to_dict(preserve_field_references=False)


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "run"
    train(config, path)
    return path


def test_classes_are_the_folders_in_order(run):
    facts = json.loads((run / "task.json").read_text())
    assert facts["class_names"] == sorted(NAMES)
    assert (facts["task"], facts["image_shape"]) == ("classes", [6, 6, 3])


@pytest.mark.long
def test_evaluate_from_another_place(run, folder, monkeypatch, tmp_path):
    monkeypatch.setattr(classifier, "_MAX_EPOCHS", 8)
    moved = tmp_path / "moved"
    moved.symlink_to(folder)
    result = tasks.evaluate(run, folder=moved, num_samples=4)
    assert set(result["cnn_accuracy_by_class"]) == set(NAMES)
    # Color tells the classes apart.
    assert result["cnn_accuracy"]["real"]["mean"] == 1
    assert 0 < result["bits_per_dim"]["mean"] < 9


def test_images_of_another_shape_are_refused(run, folder, tmp_path):
    for name in NAMES:
        (tmp_path / name).mkdir()
        for k in range(2):
            Image.new("L", (9, 9), 9 * k).save(tmp_path / name / f"{k}.png")
    with pytest.raises(UsageError, match="of x .6, 6, 3., that of the data is .6, 6, 1."):
        tasks.evaluate(run, folder=tmp_path)


def test_samples_are_drawn_in_color(run, tmp_path):
    path = tasks.sample(run, cond=["green"], num_samples=4, output=tmp_path / "a.png")
    picture = image.imread(path)[..., :3]
    assert np.ptp(picture, axis=-1).max() > 0.1
    path = tasks.sample(run, num_samples=2, output=tmp_path / "a.npz")
    assert np.load(path)["x"].shape == (2, 3, 6, 6, 3)


@pytest.mark.long
def test_exported_and_asked_by_name(run, tmp_path):
    export_run(run, tmp_path / "tinted", batch_sizes=[8])
    path = ask_for_samples(
        saved_model=tmp_path / "tinted", cond="red", num_samples=2, output=tmp_path / "a.png"
    )
    assert image.imread(path).ndim == 3
