"""Pictures of the latent space of runs of every task."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from tfp_cinn import CINN, UsageError, data, tasks
from tfp_cinn.bijectors import Chain, Flatten, GlowCoupling, SoftPermutation, Standardize
from tfp_cinn.networks import MLP, OneHot
from tfp_cinn.plots.lines import line_images
from tfp_cinn.plots.panels import Panel, draw_panels
from tfp_cinn.tasks.explore.tools import TOOLS, Run
from tfp_cinn.workdir import Workdir

RNG = np.random.default_rng(0)
DIGITS = {"name": "digits", "idx_dir": None, "data_dir": None, "num_validation": None}
SEVERAL = {"kind": np.arange(120) % 2, "v": RNG.normal(size=(120, 2))}
ARRAYS = {  # x, the condition, and which tools, all that fit if None
    "vector": (RNG.normal(size=(120, 3)), RNG.normal(size=(120, 2)), None),
    "map": (RNG.normal(size=(120, 4, 4, 2)), np.arange(120) % 3, None),
    "number": (RNG.normal(size=120), None, None),
    "series": (RNG.normal(size=(120, 6, 2)), SEVERAL, ["transfer", "likelihood"]),
}
ALWAYS = {"interpolation", "temperature", "walks", "likelihood"}


def flow(mean, std):
    layers = [Standardize(mean, std), Flatten()]
    for k in range(2):
        layers += [SoftPermutation(k), GlowCoupling(MLP([32]), clamp=1.0)]
    return Chain(layers)


def written(folder, config, model):
    """A run of a task, untrained."""
    task = tasks.load(config)
    workdir = Workdir(folder / task.name)
    workdir.prepare(config)
    workdir.describe(task.name, task.description)
    model.save(workdir.model_path)
    return workdir


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    keras.utils.set_random_seed(0)
    digits = data.load("digits")
    model = CINN(flow(digits.mean, digits.std), (8, 8, 1), OneHot(10), cond_shape=())
    config = {"data": DIGITS | {"task": "classes", "noise_std": 0.0}, "model": {"std": None}}
    return written(tmp_path_factory.mktemp("runs"), config, model)


@pytest.fixture(scope="module")
def colors(tmp_path_factory):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1))
    features = keras.Model(image, keras.layers.Dense(32, "relu")(keras.layers.Flatten()(image)))
    model = CINN(flow(0.5, 0.3), (8, 8, 3), features, (8, 8, 1))
    config = {"data": DIGITS | {"task": "color_digits", "noise_std": 0.05}, "model": {}}
    return written(tmp_path_factory.mktemp("runs"), config, model)


def trained(workdir, epochs):
    """Train a run for a moment."""
    model, task = workdir.load_model(), tasks.load(workdir.config())
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(task.training_batches(64, 0), epochs=epochs, verbose=0)
    model.save(workdir.model_path)


def run_of_arrays(x, cond, folder):
    parts = cond if isinstance(cond, dict) else {"": cond}
    arrays = {f"cond_{k}" if k else "cond": v for k, v in parts.items() if v is not None}
    np.savez(folder / "pairs.npz", x=x, **arrays)
    config = tasks.Arrays.default_config()
    config.data.train = str(folder / "pairs.npz")
    config.data.test_fraction = 0.5
    config = config.to_dict()
    workdir = Workdir(folder / "run")
    task = tasks.load(config)
    workdir.prepare(config)
    workdir.describe(task.name, task.description)
    flow = "convolutional" if x.ndim == 4 else None
    task.build({"blocks": 1, "hidden": (8,), "flow": flow}).save(workdir.model_path)
    return workdir


def is_picture(path):
    with Image.open(path) as image:
        return min(image.size) > 100 and np.ptp(np.asarray(image.convert("L"))) > 100


def check_pictures(result, tools, printed):
    *paths, last = printed.splitlines()
    assert result == json.loads(last)
    assert set(result["pictures"]) == tools
    for path in result["pictures"].values():
        assert path in paths and is_picture(path)
    if "transfer" in tools:
        assert result["transfer"]["largest_round_trip_error"] < 1e-2
    if "walks" in tools:
        assert result["temperature"]["rms_change_from_first"][0] == 0.0
        assert np.all(np.diff(result["walks"]["stds"]) <= 0)


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=[pytest.mark.long] * (v[2] is None)) for k, v in ARRAYS.items()]
)
def test_arrays_of_every_shape_are_drawn(kind, tmp_path, capsys):
    x, cond, what = ARRAYS[kind]
    run = run_of_arrays(x, cond, tmp_path)
    capsys.readouterr()
    result = tasks.explore(run, what, tmp_path / "new" / "out", steps=3)
    more = {"map": {"transfer", "scales"}, "number": set()}.get(kind, {"transfer"})
    tools = set(what or ALWAYS | {"foreign"} | more)
    check_pictures(result, tools, capsys.readouterr().out)


@pytest.mark.long
def test_every_tool_that_fits_classes(classes, tmp_path, capsys):
    trained(classes, epochs=5)
    result = tasks.explore(classes, output=tmp_path)
    check_pictures(result, ALWAYS | {"transfer", "foreign"}, capsys.readouterr().out)
    norms = result["interpolation"]
    linear, spherical = (
        norms[k]["smallest_norm_over_root_dimensions"] for k in ("linear", "spherical")
    )
    assert linear < 0.85 < 0.87 < spherical
    found = result["foreign"]["sets"]
    assert found["held out"]["auroc_likelihood"] == pytest.approx(0.5)
    assert found["held out"]["caught"] < 0.15
    for name in ("uniform noise", "inverted", "Gaussian noise on top"):
        assert found[name]["auroc_likelihood"] > 0.95 < found[name]["auroc_typicality"]
    assert found["wrong class"]["auroc_likelihood"] > 0.6


@pytest.mark.long
def test_every_tool_that_fits_color_digits(colors, tmp_path, capsys):
    trained(colors, epochs=3)
    result = tasks.explore(colors, output=tmp_path, num_examples=300, steps=3)
    check_pictures(result, ALWAYS | {"transfer", "foreign"}, capsys.readouterr().out)
    found = result["foreign"]["sets"]
    assert found["uniform noise"]["auroc_typicality"] > 0.95
    assert found["opposite hues"]["auroc_likelihood"] > 0.8


@pytest.mark.long
def test_every_tool_that_fits_photographs(workdir, tmp_path, capsys):
    capsys.readouterr()
    result = tasks.explore(workdir, output=tmp_path, steps=3)
    printed = capsys.readouterr().out
    # Eight test photographs, four crops each, are too few for a threshold.
    assert "left out: foreign: expected 40 held-out examples" in printed
    printed = "\n".join(line for line in printed.splitlines() if "left out" not in line)
    check_pictures(result, ALWAYS | {"transfer"}, printed)


def test_photographs_from_files_get_each_other_s_colors_in_full(workdir, tmp_path):
    for name, tint, size in (("red", [60, 0, 0], (40, 60)), ("blue", [0, 0, 60], (50, 30))):
        gray = RNG.integers(60, 160, (5, 5, 1), np.uint8)
        image = Image.fromarray(np.uint8(gray + np.array(tint))).resize(size[::-1])
        image.save(tmp_path / f"{name}.png")
    out = tmp_path / "out"
    cond = [str(tmp_path / f"{name}.png") for name in ("red", "blue")]
    tasks.explore(workdir, ["transfer"], out, cond)
    assert {path.name for path in out.iterdir()} == {
        "transfer.png", "transfer_red_to_blue.png", "transfer_blue_to_red.png"
    }  # fmt: skip
    with Image.open(out / "transfer_red_to_blue.png") as moved, Image.open(cond[1]) as blue:
        assert moved.size == (30, 50)  # of the photograph that gives the lightness
        light = [np.asarray(image.convert("L"), int) for image in (moved, blue)]
    assert np.abs(light[0] - light[1]).mean() < 8  # colors out of sRGB are clipped


def test_cases_are_the_wanted_ones(classes):
    task = tasks.load(classes.config())
    cases = task.cases(["3", "7", "3"], None)
    assert cases.cond.tolist() == [3, 7, 3] and list(cases.names) == ["3", "7", "3"]
    assert np.abs(cases.x[0] - cases.x[2]).max() > 2  # the next one of the class
    test = task.images.test
    rows = [np.flatnonzero((test.images == np.floor(x)).all((1, 2, 3)))[0] for x in cases.x]
    assert test.labels[rows].tolist() == [3, 7, 3]


def test_the_seed_decides_what_is_drawn(classes, tmp_path):
    task, dist = tasks.load(classes.config()), classes.load_model().distribution
    cases = task.cases(["3"], dist)
    first, same, other = (
        TOOLS["interpolation"](Run(task, dist, cases, seed, 2, 10, tmp_path))[1]
        for seed in (1, 1, 2)
    )
    assert first == same != other


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"what": ["dreams"]}, "what: dreams: no such tool; expected some of interpolation"),
        ({"what": ["scales"]}, "what: scales: doesn't fit this run; expected some of"),
        ({"cond": ["11"]}, "label 11 is out of range: expected 0 to 9"),
        ({"cond": ["3"] * 60, "what": ["transfer"]}, "too few held-out examples of class 3"),
        ({"steps": 1}, "steps: expected 2 to 50, got 1"),
        ({"num_examples": 39, "what": ["foreign"]}, "expected 40 held-out examples"),
        ({"output": "/dev/null/below"}, "/dev/null/below: can't be written"),
    ],
)
def test_wrong_input(classes, tmp_path, arguments, message):
    with pytest.raises(UsageError, match=message):
        tasks.explore(classes, **({"output": tmp_path / "out"} | arguments))


def test_lines_go_through_their_values_and_nan_is_left_out():
    rising = np.array([[-1.0], [1.0]])  # [T, C]
    drawn = (line_images(np.stack([rising, rising * np.nan]), -1, 1) < 0.9).any(axis=-1)
    assert drawn.shape == (2, 48, 64) and not drawn[1].any()
    heights = [np.flatnonzero(drawn[0, :, column]).mean() for column in (0, 32, 63)]
    np.testing.assert_allclose(heights, [47, 23, 0], atol=1)


def test_images_that_are_no_numbers_are_drawn_white(tmp_path):
    image = np.zeros((1, 2, 20, 20, 1))
    image[0, 1] = np.nan
    draw_panels([Panel(image, "one", ["a", "b"], [["c", "d"]])], tmp_path / "x.png", ["r"], "t")
    gray = np.asarray(Image.open(tmp_path / "x.png").convert("L"))
    black = np.flatnonzero((gray < 10).mean(axis=0) > 0.3)
    assert len(black) == np.ptp(black) + 1  # one square and not two
