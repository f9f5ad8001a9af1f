"""The task of anybody's arrays: from files to samples, for every shape of x and c."""

import json
import math
import os
import pathlib
import signal
import textwrap

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfp_cinn import tasks
from tfp_cinn.bijectors import Chain, Standardize
from tfp_cinn.cli.flags import parse
from tfp_cinn.cli.verbs import VERBS
from tfp_cinn.client.ask import ask_for_samples
from tfp_cinn.errors import UsageError
from tfp_cinn.export import export_run
from tfp_cinn.model import CINN, load_model
from tfp_cinn.tasks import Arrays
from tfp_cinn.training import train
from tfp_cinn.training.resumable import Interrupted
from tfp_cinn.workdir import Workdir

N = 80
RNG = np.random.default_rng(0)
SMALL = {"blocks": 1, "hidden": (8,), "features": 8}
DATA = Arrays.default_config().data.to_dict() | {"test_fraction": 0.0, "simulations": 100}


def normal(*shape):
    return (5 + 3 * RNG.normal(size=(N, *shape))).astype(np.float32)


def missing(values):
    return np.where(RNG.random(values.shape) < 0.1, np.nan, values)


X = {
    "number": normal(),
    "vector": normal(3),
    "series": normal(6, 2),
    "map": normal(4, 4, 1),
    "map of scales": normal(8, 8, 2),
}
COND = {
    "none": None,
    "label": np.arange(N) % 3,
    "number": normal(),
    "vector": normal(4),
    "long vector": normal(70),
    "series": normal(20, 2),
    "map": normal(16, 12, 3),
    "set": {"points": normal(5, 2), "points_mask": RNG.integers(0, 2, (N, 5))},
    "several": {"image": normal(8, 8, 1), "kind": np.arange(N) % 2, "v": normal(2)},
    "missing": missing(normal(3)),
    "points": normal(3, 2),
    "missing points": np.where(
        np.arange(3)[:, None] < RNG.integers(1, 4, (N, 1, 1)), normal(3, 2), np.nan
    ),
}
PAIRS = [(x, "vector") for x in X] + [("vector", c) for c in COND] + [("number", "none")]


@pytest.mark.parametrize(("x", "cond"), PAIRS)
def test_every_shape_is_learned_saved_and_written(x, cond, tmp_path):
    sets = ("cond",) if "points" in cond else ()
    task = Arrays(X[x], COND[cond], missing="missing" in cond, sets=sets)
    model = task.build(SMALL | ({"flow": "convolutional"} if x == "map of scales" else {}))
    model.compile("adam", run_eagerly=True)  # sooner than to trace
    batches = task.training_batches(16, 0, 0)
    model.fit(batches.take(1), validation_data=task.validation_batches(16), verbose=0)
    example = next(iter(batches))
    x_batch, cond_batch = example if isinstance(example, tuple) else (example, None)
    log_prob = model.distribution.log_prob(x_batch, cond_batch)
    model.save(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras").distribution.log_prob(x_batch, cond_batch)
    np.testing.assert_allclose(again, log_prob, rtol=1e-5)
    samples, log_prob = model.distribution.sample_and_log_prob(cond_batch, (120,), seed=1)
    assert abs(float(tf.reduce_mean(samples)) - 5) < 2  # in the units of x
    restored = Arrays.restore(json.loads(json.dumps(task.description)))
    assert restored.cond_shape == task.cond_shape == model.cond_shape
    first = None if cond_batch is None else tf.nest.map_structure(lambda c: c[:1], cond_batch)
    shape = (120, 1, *task.event_shape)
    x = np.reshape(samples if first is None else samples[:, :1], shape)
    log_prob = np.reshape(log_prob if first is None else log_prob[:, :1], shape[:2])
    np.save(tmp_path / "truth.npy", x_batch[:1])
    for suffix in (".npz", ".png", *[".csv"] * (len(task.event_shape) == 1)):
        output = tmp_path / f"s{suffix}"
        truth = {"truth": str(tmp_path / "truth.npy")}
        restored.check_output(output, shape, **truth)
        restored.write_samples(output, x, log_prob, first, **truth)
        assert output.stat().st_size > 500
    with np.load(tmp_path / "s.npz") as written:
        np.testing.assert_array_equal(written["x"], x)
        np.testing.assert_array_equal(written["log_prob"], log_prob)
    if first is not None:  # what was written can be read as conditions again
        read = restored.read_conditions([str(tmp_path / "s.npz")], None)
        tf.nest.map_structure(np.testing.assert_allclose, read, first)


def gaussian(num, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num, 2))
    return x, x + rng.normal(size=x.shape)


class Exact(Arrays):
    """x ~ N(0, I), c = x + N(0, I)."""

    simulate = staticmethod(gaussian)

    @staticmethod
    def observe(x, seed):
        return x + np.random.default_rng(seed).normal(size=x.shape)


def test_posteriors_are_measured_and_drawn(tmp_path):
    (tmp_path / "run").mkdir()
    task = Exact(simulations=4000)
    prior = CINN(Chain([Standardize(0.0, 1.0)]), (2,), cond_shape=(2,))  # calibrated, and blind
    figures = {(f.name, f.of): f for f in task.measure(prior, num_samples=100)}
    assert figures["num_test", ""].mean == 200 and figures["non_finite_samples", ""].mean == 0
    # Two noises of 1 lie between c and c again, in units of c's standard deviation, sqrt 2; with
    # samples of the prior, these and the difference of two draws from it.
    expected = {
        ("coverage_80", "x[0]"): 0.8, ("z_rms", "x[1]"): 1.0, ("contraction", "x[0]"): 0.0,
        ("resimulation_error", "truth"): 1.0, ("resimulation_error", "samples"): math.sqrt(2),
    }  # fmt: skip
    for key, value in expected.items():
        assert abs(figures[key].mean - value) < 4 * figures[key].standard_error + 0.05, key
    assert figures["c2st", ""].mean > 0.6
    task.draw_measured(Workdir(tmp_path / "run"))
    for name in ("calibration", "coverage", "recovery", "posterior"):
        assert (tmp_path / "run" / f"{name}.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("x", "cond"),
    [("vector", "none"), ("series", "vector"), ("number", "label"), ("vector", "missing")]
    + [("vector", "several"), ("vector", "long vector")],
)
def test_every_shape_is_measured(x, cond):
    held_out = X[x][:40]
    if cond != "none":
        held_out = held_out, tf.nest.map_structure(lambda part: part[:40], COND[cond])
    task = Arrays(X[x], COND[cond], missing=cond == "missing", test=held_out)
    model = task.build(SMALL)
    names = {figure.name for figure in task.measure(model, num_samples=20)}
    assert {"nats", "nats_per_dim", "latent_std"} < names and "bits_per_dim" not in names
    assert ("rank_p_value" in names) == ("c2st" in names) == (x != "series" and cond != "none")


def test_draws_that_are_not_finite_are_counted_and_few_pairs_are_said(capsys):
    task = Arrays(X["vector"], COND["vector"], test_fraction=0.5)
    model = task.build(SMALL)
    figures = {f.name: f.mean for f in task.measure(model, num_samples=30, temperature=1e38)}
    assert figures["non_finite_samples"] > 0 and "z_rms" not in figures
    assert "too few to judge them" in capsys.readouterr().out
    with pytest.raises(UsageError, match="num_samples: expected 20 or more"):
        task.measure(model, num_samples=3)


def config_of(path, **fields):
    config = Arrays.default_config()
    config.data.train = str(path)
    config.model.update(SMALL)
    config.train.update({"epochs": 1, "steps_per_epoch": None, "batch_size": 16, **fields})
    return config.to_dict()


def saved_pairs(folder, x, cond):
    parts = COND[cond] if isinstance(COND[cond], dict) else {"": COND[cond]}
    arrays = {f"cond_{name}" if name else "cond": part for name, part in parts.items()}
    np.savez(folder / "pairs.npz", x=X[x], **arrays)
    np.savez(folder / "few.npz", x=X[x][:2], **{name: part[:2] for name, part in arrays.items()})
    return folder / "pairs.npz"


@pytest.mark.long
@pytest.mark.parametrize(
    ("x", "cond"),
    [("map", "label"), ("vector", "series"), ("vector", "map"), ("number", "several")],
)
def test_trained_sampled_exported_and_asked(x, cond, tmp_path):
    run, few = tmp_path / "run", [str(tmp_path / "few.npz")]
    train(config_of(saved_pairs(tmp_path, x, cond), steps_per_epoch=3), run)
    assert (run / "samples.png").exists()
    assert np.isfinite(tasks.evaluate(run)["nats_per_dim"]["mean"])
    tasks.sample(run, few, 5, output=tmp_path / "drawn.npz", truth=few[0])
    export_run(run, tmp_path / "models" / "mine", batch_sizes=[4])
    asked = {"saved_model": tmp_path / "models" / "mine", "cond": few, "num_samples": 5}
    ask_for_samples(**asked, output=tmp_path / "asked.npz")
    with np.load(tmp_path / "drawn.npz") as drawn, np.load(tmp_path / "asked.npz") as answered:
        assert drawn["x"].shape == (5, 2, *Workdir(run).load_model().event_shape)
        assert ("distance" in drawn) == (cond != "label")
        for name in drawn:
            np.testing.assert_allclose(drawn[name], answered[name], rtol=1e-3, atol=1e-3)


@pytest.mark.long
@pytest.mark.parametrize("stops", [(3, 9), (4, 16)])  # within epochs of four steps, at their ends
def test_a_stopped_run_ends_as_an_unbroken_one(stops, tmp_path, monkeypatch):
    config = config_of(saved_pairs(tmp_path, "vector", "several"), epochs=6)
    whole = train(config, tmp_path / "whole").get_weights()
    step_ended, steps = keras.callbacks.CallbackList.on_train_batch_end, [0]

    def stopping(self, *arguments, **options):
        step_ended(self, *arguments, **options)
        steps[0] += 1
        if steps[0] in stops:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(keras.callbacks.CallbackList, "on_train_batch_end", stopping)
    for _ in stops:
        with pytest.raises(Interrupted):
            train(config, tmp_path / "broken")
    broken = train(config, tmp_path / "broken").get_weights()
    for one, other in zip(whole, broken, strict=True):
        np.testing.assert_array_equal(one, other)


SIMULATOR = """
    import numpy as np
    from tfp_cinn import tasks

    @tasks.register("my_problem")
    class MyProblem(tasks.Arrays):
        @staticmethod
        def simulate(num, seed):
            rng = np.random.default_rng(seed)
            x = rng.normal(size=num)
            return x, x[:, np.newaxis] + rng.normal(size=(num, 2))
"""


def test_a_simulator_of_a_module_draws_new_pairs_in_every_step(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks.task, "_TASKS", dict(tasks.task._TASKS))
    (tmp_path / "my_problem.py").write_text(textwrap.dedent(SIMULATOR))
    flags = ["--config=arrays", "--config.data.task=my_problem", "--config.data.simulations=40"]
    flags += ["--config.train.batch_size=20", "--config.train.epochs=1"]
    flags += ["--config.train.steps_per_epoch=2", "--config.model.blocks=1"]
    argv = ["train", f"--module={tmp_path / 'my_problem.py'}", f"--workdir={tmp_path / 'run'}"]
    train(**parse([*argv, *flags], VERBS["train"](), None))
    assert tasks.restore(Workdir(tmp_path / "run")).cond_shape == (2,)
    task = tasks.find("my_problem", "test")(simulations=100)
    seen = [x for epoch in (0, 1) for x, _ in task.training_batches(10, 0, epoch)]
    held_out = [x for x, _ in task.validation_batches(5)]
    values = tf.concat([*seen, *held_out], axis=0).numpy().ravel()
    assert len(seen) == 20 and len(np.unique(values)) == len(values)


def test_a_table_with_categories(tmp_path):
    kind = np.where(np.arange(N) % 4 == 0, "oak", "ash")
    table = pd.DataFrame({"height": X["number"], "age": normal(), "rain": normal(), "kind": kind})
    table.to_csv(tmp_path / "t.csv", index=False)
    data = DATA | {
        "train": str(tmp_path / "t.csv"),
        "validation": str(tmp_path / "t.csv"),
        "x_columns": ("height",),
        "cond_columns": ("age", "rain", "kind"),
    }
    task = Arrays.load({"data": data})
    assert task.cond_shape == {"cond": (2,), "kind": ()}
    table[["age", "rain", "kind"]][:3].to_csv(tmp_path / "c.csv", index=False)
    cond = task.read_conditions([str(tmp_path / "c.csv")], None)
    assert cond["kind"].tolist() == [1, 0, 0]
    task.write_samples(tmp_path / "s.csv", np.ones((2, 3, 1)), np.zeros((2, 3)), cond)
    written = pd.read_csv(tmp_path / "s.csv")
    assert list(written) == ["condition", "sample", "height", "log_prob"] and len(written) == 6


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "data: expected either data.train"),
        ({"train": "few"}, "few.npz: 3 rows are too few for a validation split of 0.05"),
        (
            {"train": "label", "test": "vector"},
            r"vector.npz: cond has shape \(4,\) a row, expected",
        ),
        ({"train": "label", "test": "few"}, "few.npz: expected x, cond, got x"),
        ({"train": "label", "test": "more"}, "more.npz: row 3, cond is 3, expected a class from 0"),
        ({"train": "none"}, "none.npz: no such file"),
    ],
)
def test_wrong_data(tmp_path, files, message):
    np.savez(tmp_path / "label.npz", x=X["vector"], cond=np.arange(N) % 3)
    np.savez(tmp_path / "more.npz", x=X["vector"], cond=np.arange(N) % 4)
    np.savez(tmp_path / "vector.npz", x=X["vector"], cond=COND["vector"])
    np.savez(tmp_path / "few.npz", x=X["vector"][:3])
    named = {key: str(tmp_path / f"{value}.npz") for key, value in files.items()}
    with pytest.raises(UsageError, match=message):
        Arrays.load({"data": DATA | named})


def test_conditions_on_the_command_line():
    label, vector = (Arrays(X["vector"], COND[c]) for c in ("label", "vector"))
    assert label.read_conditions(None, None).tolist() == [0, 1, 2]
    assert label.read_conditions(["2", "0"], None).tolist() == [2, 0]
    np.testing.assert_array_equal(
        vector.read_conditions(["1", "2", "3.5", "0"], None), [[1, 2, 3.5, 0]]
    )


@pytest.mark.parametrize(
    ("cond", "texts", "message"),
    [
        ("label", ["3"], "cond: row 0, cond is 3, expected a class from 0 to 2"),
        ("label", ["oak"], "cond: expected a file, or classes, got oak"),
        ("vector", None, r"cond: expected a file with cond \(4,\), got none"),
        ("vector", ["c.npy"], r"c.npy: cond has shape \(5,\) a row, expected \(4,\), as trained"),
        ("vector", ["nan.npy"], r"nan.npy: row 0, cond\[0\] is nan"),
        ("vector", ["1", "2"], r"cond: cond has shape \(2,\) a row, expected \(4,\)"),
        ("several", ["c.npy"], "c.npy: expected image, kind, v, got cond"),
        ("several", ["1"], "cond: expected a .npy, .npz or .csv file, got 1"),
        ("none", ["1"], "cond: expected none, got 1"),
    ],
)
def test_wrong_conditions(cond, texts, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("c.npy", np.ones((2, 5)))
    np.save("nan.npy", np.full((2, 4), np.nan))
    with pytest.raises(UsageError, match=message):
        Arrays(X["vector"], COND[cond]).read_conditions(texts, None)


@pytest.mark.parametrize(
    ("output", "truth", "message"),
    [
        ("x.jpg", None, "x.jpg: expected a .npz, .csv or .png file in a folder that exists"),
        ("none/x.npz", None, "in a folder that exists"),
        ("x.csv", None, "x.csv: expected .npz or .png, since x isn't a vector"),
        ("x.png", "t.npy", r"t.npy: the truth has shape \(3, 2\), expected \(1, 6, 2\)"),
    ],
)
def test_wrong_output(output, truth, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("t.npy", np.ones((3, 2)))
    with pytest.raises(UsageError, match=message):
        Arrays(X["series"]).check_output(pathlib.Path(output), (5, 1, 6, 2), truth)


@pytest.mark.parametrize(
    ("bounds", "low", "high"),
    [
        ((0, None), 0, np.inf),
        (((0, 1), (None, None), (None, 2)), [0, -np.inf, -np.inf], [1, np.inf, 2]),
    ],
)
def test_no_sample_is_out_of_bounds(bounds, low, high, tmp_path):
    x = RNG.beta(0.5, 0.5, (N, 3)) * 0.99 + 0.005
    task = Arrays(x, COND["vector"], bounds=bounds)
    task = Arrays.restore(json.loads(json.dumps(task.description)))
    model = task.build(SMALL)
    cond = np.float32(COND["vector"])
    samples = model.distribution.sample(cond, 200, seed=0, temperature=20.0).numpy()
    assert np.isfinite(samples).all() and (samples > low).all() and (samples < high).all()
    z = model.distribution.encode(np.float32(x), cond)
    assert abs(np.mean(z)) < 0.2 and 0.8 < np.std(z) < 1.2  # standardized inside the bounds
    with pytest.raises(UsageError, match=r"row \d+, x\[\d\] is .* between the bounds"):
        Arrays(x - 0.2, bounds=(0, 1))
