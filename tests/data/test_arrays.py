"""Pairs from files: read, refused by place, measured, cut into batches."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfp_cinn.data import arrays
from tfp_cinn.data.arrays.batches import in_split, shuffled
from tfp_cinn.errors import UsageError

RNG = np.random.default_rng(0)
X, C = RNG.normal(size=(100, 3)), RNG.normal(3.0, 2.0, size=(100, 2))


BOUNDS = (-5.0, [None, 5.0, None])


def write_npz(path, **parts):
    np.savez(path, **parts)
    return arrays.read_npz(path)


def examine(pairs, bounds=None, missing=False, rows=None):
    return arrays.examine(arrays.Rows(pairs, rows, missing).chunks(), pairs, bounds)


def test_parts_by_name_and_masks(tmp_path):
    mask = RNG.integers(0, 2, (100, 4))
    points = np.where(mask[..., None], RNG.normal(size=(100, 4, 2)), np.nan)
    pairs = write_npz(
        tmp_path / "a.npz",
        x=X[:, 0],
        cond_points=points,
        cond_points_mask=mask,
        cond_label=np.arange(100) % 7,
        cond_number=C[:, 0],
    )
    facts = examine(pairs)
    assert facts["x"]["shape"] == [1] and facts["number"]["shape"] == [1]
    assert facts["label"] == {"shape": [], "num_classes": 7}
    assert facts["points"]["mask"] == "set"
    np.testing.assert_allclose(facts["points"]["mean"], np.nanmean(points, (0, 1)), rtol=1e-5)
    np.testing.assert_allclose(facts["points"]["std"], np.nanstd(points, (0, 1)), rtol=1e-5)
    x, cond = next(iter(arrays.Rows(pairs).batches(10)))
    assert x.shape == (10, 1) and cond["label"].dtype == tf.int32
    assert not np.isnan(cond["points"]).any() and cond["points_mask"].shape == (10, 4)


def test_memory_maps_and_missing_entries(tmp_path):
    c = C.copy()
    c[4, 1] = np.nan
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "c.npy", c)
    pairs = arrays.read_npy(tmp_path / "x.npy", tmp_path / "c.npy")
    assert isinstance(pairs.x, np.memmap)
    with pytest.raises(UsageError, match=r"c.npy: row 4, cond\[1\] is nan, .*data.missing=True"):
        examine(pairs)
    facts = examine(pairs, missing=True)
    np.testing.assert_allclose(facts["cond"]["mean"], np.nanmean(c, 0), rtol=1e-6)
    _, cond = next(iter(arrays.Rows(pairs, missing=True).batches(5)))
    assert cond["cond"][4, 1] == 0 and cond["cond_mask"][4].numpy().tolist() == [1, 0]


def test_csv(tmp_path):
    table = pd.DataFrame({"a": X[:, 0], "b": C[:, 0], "kind": ["red", "blue"] * 50})
    table.to_csv(tmp_path / "t.csv", index=False)
    pairs = arrays.read_csv(tmp_path / "t.csv", ["a"], ["b", "kind"])
    np.testing.assert_allclose(pairs.x[:, 0], X[:, 0])
    assert pairs.categories == {"kind": ["blue", "red"]}
    assert pairs.cond["kind"][:2].tolist() == [1, 0] and pairs.cond["cond"].shape == (100, 1)
    alone = arrays.read_csv(tmp_path / "t.csv", [], ["kind"], {"cond": ["red", "blue"]})
    assert alone.cond["cond"][:2].tolist() == [0, 1]
    with pytest.raises(UsageError, match="row 1, column kind: 'blue' isn't among"):
        arrays.read_csv(tmp_path / "t.csv", [], ["kind"], {"cond": ["red"]})
    with pytest.raises(UsageError, match="has no column z; .* among a, b, kind"):
        arrays.read_csv(tmp_path / "t.csv", ["a"], ["z"])
    with pytest.raises(UsageError, match="row 0, column kind: expected a number for x"):
        arrays.read_csv(tmp_path / "t.csv", ["kind"], ["a"])


def nan_in(values, row, column, value=np.nan):
    values = values.copy()
    values[row, column] = value
    return values


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"x": X, "cond": C[:9]}, "a.npz: expected as many rows .* 100 of x, 9 of cond"),
        ({"cond": C}, "a.npz: expected an array x, got cond"),
        ({"x": X, "c": C}, "a.npz: expected x, cond or cond_NAME, got an array c"),
        ({"x": X.astype(object)}, "a.npz: holds an array of objects"),
        ({"x": X.astype(str)}, "a.npz: x holds str.* values, expected numbers"),
        ({"x": X[:0]}, r"a.npz: x has shape \(0, 3\), expected at least one row"),
        ({"x": nan_in(X, 7, 2)}, r"a.npz: row 7, x\[2\] is nan, expected a finite number"),
        ({"x": nan_in(X, 7, 2, np.inf)}, r"a.npz: row 7, x\[2\] is inf"),
        ({"x": X, "cond": nan_in(C, 8, 0)}, r"a.npz: row 8, cond\[0\] is nan, .*data.missing"),
        ({"x": X, "cond": np.arange(100) - 1}, "a.npz: row 0, cond is -1, expected a class"),
        ({"x": X * [1, 0, 1]}, r"a.npz: x\[1\] is constant \(0\)"),
        ({"x": X, "cond": C * 0 + 5}, r"a.npz: cond\[0\] is constant \(5\)"),
        ({"x": nan_in(X, 3, 1, 8.0)}, r"row 3, x\[1\] is 8, .* between the bounds -5.0 and"),
        ({"x": X, "cond_p_mask": np.ones((100, 4))}, "p_mask has shape"),
    ],
)
def test_wrong_arrays(tmp_path, parts, message):
    with pytest.raises(UsageError, match=message):
        examine(write_npz(tmp_path / "a.npz", **parts), BOUNDS)


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.csv"])
def test_a_file_cut_short(tmp_path, name):
    path = tmp_path / name
    if name == "a.npz":
        np.savez(path, x=X)
    elif name == "a.npy":
        np.save(path, X)
    else:
        pd.DataFrame(X, columns=list("abc")).to_csv(path)
        with open(path, "a") as file:
            file.write('1,2,"')
    if name != "a.csv":
        path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(UsageError, match=f"{name}: can't be read as"):
        if name == "a.csv":
            arrays.read_csv(path, ["a"])
        else:
            (arrays.read_npz if name == "a.npz" else arrays.read_array)(path)


def test_moments_are_those_of_the_training_rows_whatever_the_chunks(monkeypatch):
    monkeypatch.setattr("tfp_cinn.data.arrays.batches._CHUNK_BYTES", 999)
    x = 1e4 + X
    rows = np.arange(0, 100, 3)
    facts = examine(arrays.Pairs(x), rows=rows)["x"]
    np.testing.assert_allclose(facts["mean"], x[rows].mean(0), rtol=1e-7)
    np.testing.assert_allclose(facts["std"], x[rows].std(0), rtol=1e-3)  # float32's at 1e4


@pytest.mark.parametrize("count", [1, 2, 3, 17, 1000])
def test_shuffled_is_a_permutation_of_each_epoch(count):
    first, second = (shuffled(np.arange(count), count, (5, epoch)) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(count))
    assert count < 17 or (first != second).mean() > 0.8


def test_shuffled_is_uniform():
    places = np.array([shuffled(np.arange(8), 8, (0, epoch)) for epoch in range(1000)])
    counts = np.array([np.bincount(places[:, i], minlength=8) for i in range(8)])
    assert np.abs(counts / 1000 - 1 / 8).max() < 0.05  # four standard deviations


def test_split_is_a_function_of_the_row():
    rows = np.arange(10_000)
    held_out = in_split(rows, 0.0, 0.1)
    assert abs(held_out.mean() - 0.1) < 0.01
    assert not (held_out & in_split(rows, 0.1, 1.0)).any()
    np.testing.assert_array_equal(held_out[:50], in_split(rows[:50], 0.0, 0.1))


def simulate(num, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(num, 2)), rng.normal(size=(num, 3))


def sources():
    pairs = arrays.Pairs(X, {"cond": C})
    dataset = tf.data.Dataset.from_tensor_slices((X, {"a": C, "k": np.arange(100) % 3}))
    return {
        "rows": arrays.Rows(pairs, np.arange(0, 100, 2)),
        "simulation": arrays.Simulation(simulate, 50),
        "stream": arrays.Stream(dataset),
    }


@pytest.mark.parametrize("kind", sources())
def test_batches_are_a_function_of_seed_and_epoch(kind):
    def epoch(seed, number):
        batches = sources()[kind].batches(10, seed, number)
        return tf.concat([x for x, _ in batches], axis=0).numpy()

    once = epoch(3, 4)
    np.testing.assert_array_equal(once, epoch(3, tf.constant(4, tf.int64)))
    for other in (epoch(3, 5), epoch(4, 4)):
        assert other.shape == once.shape and not np.array_equal(other, once)
    source = sources()[kind]
    chained = tf.data.Dataset.range(4, 9).flat_map(lambda n: source.batches(10, 3, n))
    np.testing.assert_array_equal(next(iter(chained.skip(2)))[0], once[20:30])


def test_rows_of_an_epoch_each_once():
    rows = sources()["rows"]
    x = np.concatenate([x for x, _ in rows.batches(7, 0, 0)])
    assert len(x) == 49 and len(np.unique(x[:, 0])) == 49
    assert set(x[:, 0]) <= set(X[::2, 0].astype(np.float32))
    with pytest.raises(UsageError, match="batch_size is 51, expected 1 to the 50 rows"):
        rows.batches(51, 0, 0)
