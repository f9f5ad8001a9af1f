"""Conditions from the command line and from files."""

import numpy as np
import pytest

from tfp_cinn import UsageError, tasks
from tfp_cinn.tasks.conditions import read_conditions, to_labels

NAMES = ["T-shirt/top", "Trouser", "Ankle boot", *map(str, "abcdefg")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((4, 2)), r"expected numbers of shape \['conditions', 3\] as cond, got float64"),
        (np.full((4, 3), np.nan), "expected finite cond"),
        (np.zeros((0, 3)), "one row or more"),
        (np.array(["a"]), "expected numbers"),
        (None, "can't be read as .npy or .npz"),
    ],
)
def test_wrong_files_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "c.npy"
    path.write_bytes(b"x") if content is None else np.save(path, content)
    with pytest.raises(UsageError, match=message) as caught:
        tasks.Task().read_conditions([str(path)], (3,))
    assert "\n" not in str(caught.value)


def test_conditions_by_part(tmp_path):
    file = str(tmp_path / "c.npz")
    np.savez(file, cond_a=np.zeros((4, 3)), cond_b=np.arange(4))
    shapes = {"a": (3,), "b": ()}
    parts = read_conditions([file], shapes)
    assert {key: part.shape[1:] for key, part in parts.items()} == shapes
    assert parts["b"].dtype == np.int32
    np.savez(file, cond_a=np.zeros((4, 3)), cond_b=np.arange(3))
    with pytest.raises(UsageError, match="parts differ in their number of rows"):
        read_conditions([file], shapes)
    with pytest.raises(UsageError, match="lacks 'c', has cond_a, cond_b"):
        read_conditions([file], {"c": ()})


def test_a_model_without_condition_takes_none():
    assert read_conditions(None, None) is None
    with pytest.raises(UsageError, match="takes no condition; leave --cond away"):
        read_conditions(["3"], None)
    with pytest.raises(UsageError, match="expected one .npy or .npz file of conditions; give"):
        read_conditions(None, (3,))


def test_classes_by_number_or_name():
    assert to_labels([" ankle BOOT", "trouser", "0", 9], NAMES).tolist() == [2, 1, 0, 9]
    assert to_labels(None, NAMES).tolist() == list(range(10))
    assert to_labels("7", NAMES).tolist() == [7]
    assert read_conditions(["5", "0"], ()).tolist() == [5, 0]  # where nobody knows the names
    assert read_conditions(3, (), NAMES).tolist() == read_conditions("a", (), NAMES).tolist() == [3]


@pytest.mark.parametrize(
    ("cond", "message"),
    [
        ([], "cond: expected one class or more"),
        ([2**40], "label 1099511627776 is out of range: expected 0 to 9"),
        (["-1"], "label -1 is out of range"),
        ([3.7], "expected class labels 0 to 9 or T-shirt/top, Trouser.*, got '3.7'"),
        (["sock"], "expected class labels .*'sock'"),
    ],
)
def test_wrong_classes_are_refused_in_one_line(cond, message):
    with pytest.raises(UsageError, match=message) as caught:
        to_labels(cond, NAMES)
    assert "\n" not in str(caught.value)
