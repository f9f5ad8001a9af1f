"""The task of anybody's arrays: from files to samples, for every shape of x and c."""

import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfp_cinn import tasks
from tfp_cinn.client.ask import ask_for_samples
from tfp_cinn.errors import UsageError
from tfp_cinn.export import export_run
from tfp_cinn.model import load_model
from tfp_cinn.tasks.arrays import Arrays
from tfp_cinn.training import train
from tfp_cinn.workdir import Workdir

N = 80
RNG = np.random.default_rng(0)
SMALL = {"blocks": 1, "hidden": (8,), "features": 8}


def normal(*shape):
    return (5 + 3 * RNG.normal(size=(N, *shape))).astype(np.float32)


def missing(values):
    return np.where(RNG.random(values.shape) < 0.1, np.nan, values)


X = {
    "number": normal(),
    "vector": normal(3),
    "series": normal(6, 2),
    "map": normal(4, 4, 1),
    "large map": normal(32, 32, 2),
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
}
PAIRS = [(x, "vector") for x in X] + [("vector", c) for c in COND] + [("number", "none")]


@pytest.mark.parametrize(("x", "cond"), PAIRS)
def test_every_shape_from_arrays_to_files(x, cond, tmp_path):
    task = Arrays(X[x], COND[cond], missing=cond == "missing")
    model = task.build(SMALL)
    model.compile("adam", run_eagerly=True)  # sooner than to trace
    batches = task.training_batches(16, 0, 0)
    model.fit(batches.take(1), validation_data=task.validation_batches(16), verbose=0)
    example = next(iter(batches))
    x_batch, cond_batch = example if isinstance(example, tuple) else (example, None)
    log_prob = model.distribution.log_prob(x_batch, cond_batch)
    assert np.isfinite(log_prob).all()
    model.save(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras").distribution.log_prob(x_batch, cond_batch)
    np.testing.assert_allclose(again, log_prob, rtol=1e-5)
    samples, log_prob = model.distribution.sample_and_log_prob(cond_batch, (120,), seed=1)
    assert abs(float(tf.reduce_mean(samples)) - 5) < 2  # in the units of x
    restored = Arrays.restore(json.loads(json.dumps(task.facts)))
    assert restored.cond_shape == task.cond_shape == model.cond_shape
    assert restored.build(SMALL).count_params() == model.count_params()
    first = None if cond_batch is None else tf.nest.map_structure(lambda c: c[:1], cond_batch)
    if first is not None:
        samples, log_prob = samples[:, :1], log_prob[:, :1]
    arguments = samples.numpy(), log_prob.numpy(), first, restored.facts, x_batch[:1]
    for suffix in (".npz", ".png", *[".csv"] * (len(task.event_shape) == 1)):
        Arrays.write_samples(tmp_path / f"s{suffix}", *arguments)
        assert (tmp_path / f"s{suffix}").stat().st_size > 500
    written = np.load(tmp_path / "s.npz")
    assert written["x"].shape == (120, 1, *task.event_shape)
    assert written["log_prob"].shape == (120, 1)
    if cond_batch is not None:  # what was written can be read as conditions again
        read = Arrays.read_conditions([str(tmp_path / "s.npz")], None, restored.facts)
        tf.nest.map_structure(np.testing.assert_allclose, read, first)


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
    task = Arrays.load(data, {})
    assert task.cond_shape == {"cond": (2,), "kind": ()}
    table[["age", "rain", "kind"]][:3].to_csv(tmp_path / "c.csv", index=False)
    cond = Arrays.read_conditions([str(tmp_path / "c.csv")], None, task.facts)
    assert cond["kind"].tolist() == [1, 0, 0]
    Arrays.write_samples(tmp_path / "s.csv", np.ones((2, 3, 1)), np.zeros((2, 3)), None, task.facts)
    written = pd.read_csv(tmp_path / "s.csv")
    assert list(written) == ["condition", "sample", "height", "log_prob"] and len(written) == 6


DATA = Arrays.default_config().data.to_dict() | {"test_fraction": 0.0, "simulations": 100}


def test_wrong_data(tmp_path):
    np.savez(tmp_path / "a.npz", x=X["vector"], cond=np.arange(N) % 3)
    np.savez(tmp_path / "b.npz", x=X["vector"], cond=np.arange(N) % 4)
    np.savez(tmp_path / "c.npz", x=X["vector"], cond=COND["vector"])
    np.savez(tmp_path / "d.npz", x=X["vector"][:3])
    for changed, message in [
        ({}, "data: expected either data.train"),
        ({"train": "d"}, "d.npz: 3 rows are too few for a validation split of 0.05"),
        ({"train": "a", "test": "c"}, r"c.npz: cond has shape \(4,\) a row, expected \(\) as in"),
        ({"train": "a", "test": "b"}, "b.npz: row 3, cond is 3, expected a class from 0 to 2"),
        ({"train": "z"}, "z.npz: no such file"),
    ]:
        named = {key: str(tmp_path / f"{value}.npz") for key, value in changed.items()}
        with pytest.raises(UsageError, match=message):
            Arrays.load(DATA | named, {})


def test_wrong_conditions(tmp_path):
    label, vector = (Arrays(X["vector"], COND[c]) for c in ("label", "vector"))
    assert Arrays.read_conditions(None, (), label.facts).tolist() == [0, 1, 2]
    numbers = ["1", "2", "3.5", "0"]
    assert Arrays.read_conditions(numbers, (4,), vector.facts).shape == (1, 4)
    np.save(tmp_path / "c.npy", np.ones((2, 5)))
    np.save(tmp_path / "nan.npy", np.full((2, 4), np.nan))
    for task, texts, message in [
        (label, ["3"], "cond: row 0, cond is 3, expected a class from 0 to 2"),
        (label, ["oak"], "cond: expected a file, or classes, got oak"),
        (vector, None, r"cond: expected a file with cond \(4,\), got none"),
        (vector, [str(tmp_path / "c.npy")], r"c.npy: cond has shape \(2, 5\), expected \(cond"),
        (vector, [str(tmp_path / "nan.npy")], r"nan.npy: row 0, cond\[0\] is nan"),
        (vector, ["1", "2"], r"cond: cond has shape \(2,\), expected \(conditions, 4\)"),
    ]:
        with pytest.raises(UsageError, match=message):
            Arrays.read_conditions(texts, None, task.facts)


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
    task = Arrays.restore(json.loads(json.dumps(task.facts)))
    model = task.build(SMALL)
    cond = np.float32(COND["vector"])
    samples = model.distribution.sample(cond, 200, seed=0, temperature=20.0).numpy()
    assert np.isfinite(samples).all() and (samples > low).all() and (samples < high).all()
    z = model.distribution.encode(np.float32(x), cond)
    assert abs(np.mean(z)) < 0.2 and 0.8 < np.std(z) < 1.2  # standardized inside the bounds
    with pytest.raises(UsageError, match=r"row \d+, x\[\d\] is .* between the bounds"):
        Arrays(x - 0.2, bounds=(0, 1))


def test_a_simulator_draws_new_pairs_in_every_step():
    class Mine(Arrays):
        @staticmethod
        def simulate(num, seed):
            rng = np.random.default_rng(seed)
            x = rng.normal(size=num)
            return x, x[:, np.newaxis] + rng.normal(size=(num, 2))

    task = Mine.load(DATA, {})
    seen = [x for epoch in (0, 1) for x, _ in task.training_batches(10, 0, epoch)]
    held_out = [x for x, _ in task.validation_batches(5)]
    values = tf.concat([*seen, *held_out], axis=0).numpy().ravel()
    assert len(seen) == 20 and len(np.unique(values)) == len(values)


def test_a_run_from_the_file_to_samples(tmp_path):
    np.savez(tmp_path / "mine.npz", x=X["vector"], cond=COND["vector"])
    np.save(tmp_path / "observed.npy", COND["vector"][:2])
    config = Arrays.default_config()
    config.data.train = str(tmp_path / "mine.npz")
    config.model.update(SMALL)
    config.train.update({"epochs": 1, "batch_size": 16, "milestones": ()})
    run = tmp_path / "run"
    train(config.to_dict(), run)
    assert (run / "samples.png").exists()
    figures = tasks.evaluate(run)
    assert np.isfinite(figures["nats_per_dim"]["mean"])
    observed = [str(tmp_path / "observed.npy")]
    tasks.sample(run, observed, 5, output=tmp_path / "s.npz")
    assert np.load(tmp_path / "s.npz")["x"].shape == (5, 2, 3)
    export_run(run, tmp_path / "models" / "mine", batch_sizes=[4])
    asked = {"saved_model": tmp_path / "models" / "mine", "cond": observed, "num_samples": 5}
    ask_for_samples(**asked, output=tmp_path / "asked.csv")
    table = pd.read_csv(tmp_path / "asked.csv")
    assert list(table) == ["condition", "sample", "x0", "x1", "x2", "log_prob"]
    cond = np.repeat(np.float32(COND["vector"][:2]), 5, axis=0)
    table = table.sort_values(["condition", "sample"])
    x = np.float32(table[["x0", "x1", "x2"]])
    expected = Workdir(run).load_model().distribution.log_prob(x, cond)
    np.testing.assert_allclose(table["log_prob"], expected, rtol=1e-4, atol=1e-4)  # float32
