"""Pictures of the latent space of a run of each kind."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from tfp_cinn import CINN, UsageError, data, latent, tasks
from tfp_cinn.bijectors import Chain, Flatten, GlowCoupling, SoftPermutation, Standardize
from tfp_cinn.networks import MLP, OneHot
from tfp_cinn.plots.panels import Panel, draw_panels
from tfp_cinn.tasks import ClassImages, ColorDigits
from tfp_cinn.tasks.class_images.explore import ExploredClasses
from tfp_cinn.tasks.color_digits.explore import ExploredColorDigits
from tfp_cinn.tasks.colorization.explore import ExploredColorings
from tfp_cinn.tasks.explore.explore import TOOLS
from tfp_cinn.workdir import Workdir

CONFIG = {"name": "digits", "idx_dir": None, "data_dir": None, "num_validation": None}


def flow(mean, std):
    layers = [Standardize(mean, std), Flatten()]
    for k in range(2):
        layers += [SoftPermutation(k), GlowCoupling(MLP([32]), clamp=1.0)]
    return Chain(layers)


def written(folder, section, experiment, model):
    workdir = Workdir(folder / experiment.name)
    workdir.prepare({"data": section, "model": {"std": None}})
    workdir.describe(experiment.name, experiment.description)
    model.save(workdir.model_path)
    return workdir


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture(scope="module")
def classes(tmp_path_factory, digits):
    """A run of digits, trained for a moment."""
    keras.utils.set_random_seed(0)
    experiment = ClassImages(digits)
    model = CINN(flow(digits.mean, digits.std), (8, 8, 1), OneHot(10), cond_shape=())
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(experiment.training_batches(64, 0), epochs=5, verbose=0)
    section = CONFIG | {"task": "classes", "noise_std": 0.0}
    return written(tmp_path_factory.mktemp("runs"), section, experiment, model)


@pytest.fixture(scope="module")
def colors(tmp_path_factory, digits):
    """A run of colored digits, trained for a moment."""
    keras.utils.set_random_seed(0)
    experiment = ColorDigits(digits, 0.05)
    image = keras.Input((8, 8, 1))
    features = keras.Model(image, keras.layers.Dense(32, "relu")(keras.layers.Flatten()(image)))
    model = CINN(flow(0.5, 0.3), (8, 8, 3), features, (8, 8, 1))
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(experiment.training_batches(64, 0), epochs=3, verbose=0)
    section = CONFIG | {"task": "color_digits", "noise_std": 0.05}
    return written(tmp_path_factory.mktemp("runs"), section, experiment, model)


@pytest.fixture
def run_of(request):
    """The run of a kind."""
    names = {"classes": "classes", "color_digits": "colors", "colorization": "workdir"}
    return lambda kind: request.getfixturevalue(names[kind])


def is_picture(path):
    with Image.open(path) as image:
        return min(image.size) > 100 and np.ptp(np.asarray(image.convert("L"))) > 100


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "tools"),
    [
        ("classes", set(TOOLS) - {"scales"}),
        ("color_digits", set(TOOLS) - {"scales"}),
        # Of eight test photographs, two crops each are too few for a threshold.
        ("colorization", set(TOOLS) - {"foreign"}),
    ],
)
def test_every_tool_that_fits_draws_a_picture(run_of, tmp_path, capsys, kind, tools):
    options = {"steps": 3, "num_components": 2, "num_examples": 80, "num_samples": 2}
    what = None if kind != "colorization" else sorted(tools)
    result = tasks.explore(run_of(kind), what, tmp_path / "new" / "out", **options)
    *paths, last = capsys.readouterr().out.splitlines()
    assert result == json.loads(last)
    assert set(result["pictures"]) == tools
    for name, path in result["pictures"].items():
        assert path == str(tmp_path / "new" / "out" / f"{name}.png") and path in paths
        assert is_picture(path)
    assert result["transfer"]["largest_round_trip_error"] < 1e-2
    norms = result["interpolation"]
    linear, spherical = (
        norms[k]["smallest_norm_over_root_dimensions"] for k in ("linear", "spherical")
    )
    assert linear < 0.85 < 0.87 < spherical
    assert result["temperature"]["rms_change_from_first"][0] == 0.0
    assert np.all(np.diff(result["walks"]["stds"]) <= 0)


@pytest.mark.slow
def test_foreign_inputs_are_found_and_held_out_ones_are_not(classes, colors, tmp_path):
    found = tasks.explore(classes, ["foreign"], tmp_path)["foreign"]["sets"]
    for name in ("held out", "held out, condition unknown"):
        assert found[name]["auroc_likelihood"] == pytest.approx(0.5)
        assert found[name]["caught"] < 0.15
    for name in ("uniform noise", "inverted", "Gaussian noise on top"):
        assert found[name]["auroc_likelihood"] > 0.95 < found[name]["auroc_typicality"]
    assert found["wrong class"]["auroc_likelihood"] > 0.6
    found = tasks.explore(colors, ["foreign"], tmp_path)["foreign"]["sets"]
    assert found["uniform noise"]["auroc_typicality"] > 0.95
    assert found["opposite hues"]["auroc_likelihood"] > 0.8


def test_likelihood_without_a_class_is_the_mean_over_classes(classes, digits):
    subject = ExploredClasses(classes.load_model(), digits)
    few = subject.held_out(20)
    log_prob = subject.dist.log_prob(few.x, np.arange(10)[:, np.newaxis]).numpy()
    expected = -np.log(np.exp(log_prob - log_prob.max(0)).mean(0)) - log_prob.max(0)
    unknown = subject.scores(few._replace(cond=None))
    np.testing.assert_allclose(unknown.nats_per_dim, expected / 64, rtol=1e-5)
    z = subject.dist.encode(few.x, log_prob.argmax(0)).numpy()
    np.testing.assert_allclose(unknown.square, (z**2).mean(axis=1), rtol=1e-4)


def test_foreign_sets_differ_from_the_held_out_and_share_their_noise(classes, digits, workdir):
    subject = ExploredClasses(classes.load_model(), digits)
    few = subject.held_out(30)
    sets = subject.foreign(few, 0)
    for name, examples in sets.items():
        assert examples.x.shape == few.x.shape
        assert examples.x.min() >= 0 and examples.x.max() < 17
        assert len(np.unique(examples.x)) > 1500  # dequantized
        assert (examples.cond is None) == (name != "wrong class")
        moved = np.floor(examples.x) != np.floor(few.x)
        assert np.all(moved.any(axis=(1, 2, 3)) == (name != "wrong class"))
    assert np.all(sets["wrong class"].cond != few.cond)
    np.testing.assert_array_equal(np.floor(sets["mirrored"].x[:, :, ::-1]), np.floor(few.x))
    np.testing.assert_array_equal(16 - np.floor(sets["inverted"].x), np.floor(few.x))

    subject = ExploredColorDigits(None, ColorDigits(digits, 0.05))
    few = subject.held_out(30)
    for examples in subject.foreign(few, 0).values():
        np.testing.assert_array_equal(examples.cond, few.cond)
        assert np.abs(examples.x - few.x).max(axis=(1, 2, 3)).min() > 0.1

    subject = ExploredColorings.load(workdir, None)
    few = subject.held_out(12)
    sets = subject.foreign(few, 0)
    for examples in sets.values():
        np.testing.assert_array_equal(examples.cond, few.cond)
        assert np.abs(examples.x - few.x).max(axis=(1, 2, 3)).min() > 1
    pixels = [np.sort(x.reshape(12, -1, 2).sum(-1)) for x in (few.x, sets["pixels scrambled"].x)]
    np.testing.assert_allclose(*pixels)


def test_cases_are_the_wanted_ones(classes, digits):
    subject = ExploredClasses(classes.load_model(), digits)
    cases = subject.cases(["3", "7", "3"])
    assert cases.cond.tolist() == [3, 7, 3] and list(cases.names) == ["3", "7", "3"]
    assert np.abs(cases.x[0] - cases.x[2]).max() > 2  # the next one of the class
    rows = [np.flatnonzero((digits.test.images == np.floor(x)).all((1, 2, 3))) for x in cases.x]
    assert [digits.test.labels[row[0]] for row in rows] == [3, 7, 3]


def test_photographs_from_files_get_each_other_s_colors_in_full(workdir, folder, tmp_path):
    red, blue = tmp_path / "red.png", tmp_path / "blue.png"
    rng = np.random.RandomState(0)
    for path, tint, size in ((red, [60, 0, 0], (40, 60)), (blue, [0, 0, 60], (50, 30))):
        gray = rng.randint(60, 160, (5, 5, 1), np.uint8)
        image = Image.fromarray(np.uint8(gray + np.array(tint))).resize(size[::-1])
        image.save(path)
    cond = [str(red), str(blue)]
    out = tmp_path / "out"
    tasks.explore(workdir, ["transfer", "scales"], out, cond, num_samples=1)
    moved = Image.open(out / "transfer_red_to_blue.png")
    assert moved.size == (30, 50)  # of the photograph that gives the lightness
    subject = ExploredColorings.load(workdir, None)
    cases = subject.cases(cond)
    x = latent.transfer(subject.dist, cases.x[0], cases.cond[0], cases.cond[1])
    shown = subject.shown(x[np.newaxis], cases.take([1]))[0]
    np.testing.assert_allclose(np.asarray(moved) / 255, shown, atol=3 / 255)
    assert {path.name for path in out.iterdir()} == {
        "transfer.png", "scales.png", "transfer_red_to_blue.png", "transfer_blue_to_red.png"
    }  # fmt: skip


def test_the_same_seed_draws_the_same_pictures(classes, tmp_path):
    what = ["interpolation", "temperature"]
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        tasks.explore(classes, what, tmp_path / name, ["3", "7"], seed=seed, steps=3)
    for name in what:
        a, b, c = ((tmp_path / run / f"{name}.png").read_bytes() for run in "abc")
        assert a == b != c


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("classes", {"what": ["dreams"]}, "tools of interpolation, transfer, .*, got 'dreams'"),
        ("classes", {"what": []}, "expected one tool or more of interpolation"),
        ("classes", {"what": ["scales"]}, "scales doesn't fit this kind of run; expected inter"),
        ("classes", {"cond": ["11"]}, "label 11 is out of range: expected 0 to 9"),
        ("classes", {"cond": ["3"] * 60, "what": ["transfer"]}, "too few images of class 3"),
        ("classes", {"temperatures": ["0", "-1"]}, "temperatures: expected 0 or more"),
        ("classes", {"temperatures": ["hot"]}, "temperatures: expected numbers, got hot"),
        ("classes", {"temperatures": []}, "temperatures: expected 1 to 50 numbers, got 0"),
        ("classes", {"steps": 1}, "steps: expected 2 to 50, got 1"),
        ("classes", {"steps": 99}, "steps: expected 2 to 50, got 99"),
        ("classes", {"num_examples": 1}, "num_examples: expected 2 or more"),
        ("classes", {"num_examples": 39, "what": ["foreign"]}, "expected 40 held-out examples"),
        ("classes", {"num_examples": 4, "what": ["walks"]}, "num_components: expected up to 3"),
        ("classes", {"seed": -1}, "seed: expected an integer from 0"),
        ("classes", {"source": "nowhere"}, "which is embedded"),
        ("color_digits", {"cond": ["photo.jpg"]}, "expected class labels 0 to 9, got 'photo.jpg'"),
        ("colorization", {"scale": 1, "what": ["scales"]}, r"that exists, 0 \(128\), got 1"),
        ("colorization", {"cond": ["none.jpg"]}, "none.jpg: can't be read as an image"),
        ("colorization", {"cond": ["a/x.jpg", "b/x.png"]}, "of different names"),
        ("colorization", {"source": "nowhere"}, "nowhere is not a folder"),
    ],
)
def test_wrong_input(run_of, tmp_path, kind, arguments, message):
    with pytest.raises(UsageError, match=message):
        tasks.explore(run_of(kind), **({"output": tmp_path / "out"} | arguments))


def test_an_output_that_can_t_be_written_and_a_run_that_isn_t(classes, tmp_path):
    file = tmp_path / "file"
    file.touch()
    for output in (file, file / "below"):
        with pytest.raises(UsageError, match=f"{output}: can't be written"):
            tasks.explore(classes, ["temperature"], output)
    with pytest.raises(UsageError, match="no such workdir"):
        tasks.explore(tmp_path / "none")


def test_images_that_are_no_numbers_are_drawn_white(tmp_path):
    image = np.zeros((1, 2, 20, 20, 1))
    image[0, 1] = np.nan
    draw_panels([Panel(image, "one", ["a", "b"], [["c", "d"]])], tmp_path / "x.png", ["r"], "t")
    gray = np.asarray(Image.open(tmp_path / "x.png").convert("L"))
    black = np.flatnonzero((gray < 10).mean(axis=0) > 0.3)
    assert len(black) == np.ptp(black) + 1  # one square and not two
