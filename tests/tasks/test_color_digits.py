"""Digits colored given their gray image, and the programs on a run of them."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from tfp_cinn import UsageError, architectures, tasks
from tfp_cinn.tasks import ColorDigits
from tfp_cinn.training import color_digits_config
from tfp_cinn.workdir import Workdir


@pytest.fixture(scope="module")
def config():
    config = color_digits_config()
    config.data.update({"name": "digits", "num_validation": 150, "noise_std": 0.05})
    config.model.update(
        {
            "conv_blocks": 2, "conv_hidden": (8,), "dense_blocks": 1, "dense_hidden": (8,),
            "cond_width": 4, "cond_channels": (4, 4, 4, 4), "cond_hidden": (), "padded": True,
            "mean": 0.5, "std": 0.3,
        }
    )  # fmt: skip
    config.train.update({"epochs": 2, "batch_size": 64, "learning_rate": 1e-2, "warm_up_epochs": 0})
    return config.to_dict()


@pytest.fixture(scope="module")
def experiment(config):
    return tasks.load(config)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, config, experiment):
    """A run whose flow has learnt nothing."""
    keras.utils.set_random_seed(0)
    model = architectures.build(data=experiment, **config["model"])
    rng = np.random.RandomState(0)
    model.set_weights([w + 0.02 * rng.randn(*w.shape) for w in model.get_weights()])
    workdir = Workdir(tmp_path_factory.mktemp("runs") / "digits")
    workdir.prepare(config)
    workdir.describe(experiment.name, experiment.description)
    model.save(workdir.model_path)
    return workdir


def joined(batches):
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def test_batches_are_noisy_colors_given_the_gray_image(experiment):
    assert (experiment.image_shape, experiment.cond_shape) == ((8, 8, 3), (8, 8, 1))
    still = ColorDigits(experiment.images)
    for noisy, clean in (
        (experiment.training_batches(64, 3).take(4), still.training_batches(64, 3).take(4)),
        (experiment.test_batches(64), still.test_batches(64)),
    ):
        (x, gray), (rgb, same) = joined(noisy), joined(clean)
        assert x.shape[1:] == (8, 8, 3) and gray.shape[1:] == (8, 8, 1)
        np.testing.assert_array_equal(gray, same)
        assert rgb.min() >= 0 and rgb.max() <= 1
        np.testing.assert_allclose((x - rgb).std(), 0.05, rtol=0.03)
    np.testing.assert_array_equal(gray, experiment.images.test.images / np.float32(16))
    twice, grays = joined(experiment.test_batches(100, repeats=2))
    # Sums are taken in another order: float32 rounding of numbers below 2, measured 2.4e-7.
    np.testing.assert_allclose(twice[: len(x)], x, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(grays, np.tile(gray, (2, 1, 1, 1)))
    assert np.abs(twice[len(x) :] - x).max() > 0.5


def test_nothing_held_out_is_no_validation(config):
    section = config["data"] | {"num_validation": 0}
    assert ColorDigits.load({"data": section}).validation_batches(8) is None


def test_test_images_are_taken_in_order(experiment):
    grays = experiment.test_grays([7, 3, 7])
    test = experiment.images.test
    sevens = np.flatnonzero(test.labels == 7)
    np.testing.assert_array_equal(16 * grays[[0, 2]], test.images[sevens[:2]])
    assert experiment.test_grays([]).shape == (0, 8, 8, 1)
    with pytest.raises(UsageError, match="too few held-out examples of class 7"):
        experiment.test_grays([7] * (len(sevens) + 1))


def test_evaluation_compares_hues_by_class(workdir, capsys):
    result = tasks.evaluate(workdir.path, num_samples=2)
    drawn, *_, line = capsys.readouterr().out.splitlines()
    assert drawn.startswith(str(workdir / "hues.png"))
    assert json.loads(line) == result == workdir.evaluation()
    distances = {name: figure["mean"] for name, figure in result["hue_distance"].items()}
    # Colors drawn once more are the data's but for chance, some 60 of 20 degrees a class.
    assert distances["data"] < 10
    # A flow that has learnt nothing is as far off as colors that know no class.
    assert min(distances["model"], distances["shuffled"]) > 40
    by_class = [result[f"{ground}_by_class"] for ground in ("foreground", "background")]
    assert [*by_class[0]] == [str(k) for k in range(10)]
    means = [figure["mean"] for each in by_class for figure in each.values()]
    np.testing.assert_allclose(np.mean(means), distances["model"])
    assert Image.open(workdir / "hues.png").size[1] > 500


def test_samples_color_test_images_of_a_class_and_image_files(workdir, experiment, tmp_path):
    gray = experiment.test_grays([3])[0]
    large = np.repeat(np.repeat(255 * gray[..., 0], 4, axis=0), 4, axis=1)
    file = tmp_path / "three.PNG"
    Image.fromarray(large.round().astype(np.uint8)).save(file)
    cond = ["3", str(file), "7"]
    tasks.sample(workdir.path, cond, 2, seed=5, output=tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["x"].shape == (2, 3, 8, 8, 3) and arrays["log_prob"].shape == (2, 3)
        np.testing.assert_allclose(arrays["cond"][[0, 2]], experiment.test_grays([3, 7]))
        np.testing.assert_allclose(arrays["cond"][1], gray, atol=1 / 255)
        x = arrays["x"]
    assert np.abs(x[0] - x[1]).max() > 0.1
    sheet = tasks.sample(workdir.path, None, 3, output=tmp_path / "sheet.png")
    width, height = Image.open(sheet).size
    assert height > 2 * width  # ten classes, four columns


@pytest.mark.parametrize(
    ("cond", "message"),
    [
        (["11"], "label 11 is out of range: expected 0 to 9"),
        ([], "cond: expected classes or image files, got none"),
        (["/nowhere.png"], "/nowhere.png: can't be read as an image"),
        (["3"] * 100, "too few held-out examples of class 3"),
    ],
)
def test_wrong_conditions_are_answered_in_one_line(workdir, tmp_path, cond, message):
    with pytest.raises(UsageError, match=message) as caught:
        tasks.sample(workdir.path, cond, output=tmp_path / "x.npz")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x.npz").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise_std": -1.0}, "noise_std is -1.0, expected a finite number"),
        ({"name": "cats"}, "cats is not prepared under"),
    ],
)
def test_wrong_fields_are_answered_in_one_line(config, changes, message):
    with pytest.raises(UsageError, match=message):
        tasks.load(config | {"data": config["data"] | changes})
