"""Several replicas in one process, and what keeps them equal."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import UsageError
from tfp_cinn.configs import TrainConfig
from tfp_cinn.training.strategy import Replicas, _workers, parts

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What a process with four devices found; see four_devices.py."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
    done = subprocess.run(
        [sys.executable, ROOT / "tests/helpers/four_devices.py", tmp_path_factory.mktemp("four")],
        env={**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["replicas"] == 4
    return result


@pytest.mark.long
def test_four_replicas_learn_what_one_learns(found):
    learning = found["learning"]
    assert learning["1"]["loss"][1] < learning["1"]["loss"][0] - 0.01  # it learns at all
    # Float32 sums in another order: losses of about 3 round by 2.4e-7 each, and 20 steps of Adam at
    # 5e-4 amplify what gradients differ by; measured 5e-7 and 4e-6.
    assert learning["4"]["losses_apart"] < 1e-5
    assert learning["4"]["weights_apart"] < 1e-4


@pytest.mark.long
def test_the_gradient_of_the_whole_batch_is_clipped(found):
    """Keras clips the share of each replica."""
    alone, four = (np.array(found["step"][name]) for name in ("alone", "four"))
    # SGD at rate 1, whose step is the clipped gradient: the bound holds, and is reached.
    np.testing.assert_allclose(np.linalg.norm(alone), 0.05, rtol=1e-3)
    np.testing.assert_allclose(four, alone, atol=1e-6)  # some float32 roundings of 0.05


@pytest.mark.long
@pytest.mark.parametrize("option", ["weighted", "scaled"])
def test_a_step_with_weights_or_a_scaled_loss_is_that_of_one_device(found, option):
    apart, length = found["options"][option]
    assert length > 0.01 and apart < 1e-6  # some float32 roundings of 0.05


@pytest.mark.long
def test_accumulating_gradients_is_refused(found):
    assert "gradient_accumulation_steps: expected none on 4 replicas" in found["accumulated"]


@pytest.mark.long
def test_replicas_have_dropout_of_their_own(found):
    assert len(set(found["noise"])) == 4


@pytest.mark.long
def test_the_replica_with_bad_data_stops_the_step_and_says_why(found):
    assert (
        "the data x hold NaN or infinite values in 1 of its 6 rows" in found["bad_row"]["message"]
    )
    assert not found["bad_row"]["moved"]


@pytest.mark.long
def test_parts_of_any_size_count_by_their_examples(found):
    # 23 examples in batches of 7, 7, 7 and 2: some parts are empty. Tolerance: float32 sums.
    alone, four = found["uneven"]["alone"], found["uneven"]["four"]
    assert alone.keys() == four.keys() >= {"loss", "nats_per_dim", "bits_per_dim"}
    for name in alone:
        np.testing.assert_allclose(four[name], alone[name], rtol=1e-5)
    assert np.isfinite(four["loss"])


@pytest.mark.long
def test_a_model_trained_on_four_devices_loads_on_one(found):
    assert found["saved_apart"] == 0.0


@pytest.mark.parametrize("rows", [8, 7, 3])
def test_parts_are_all_examples_once(rows):
    x, label = np.arange(rows * 2).reshape(rows, 2), np.arange(rows)
    batches = tf.data.Dataset.from_tensors((x, {"label": label})).repeat(2)
    # Two workers of two replicas each.
    first, second = (list(parts(batches, numbers, 4)) for numbers in (range(0, 2), range(2, 4)))
    for step in (slice(0, 2), slice(2, 4)):
        got = first[step] + second[step]
        assert max(len(a) for a, _ in got) - min(len(a) for a, _ in got) <= 1
        np.testing.assert_array_equal(np.concatenate([a for a, _ in got]), x)
        np.testing.assert_array_equal(np.concatenate([b["label"] for _, b in got]), label)


def test_parts_of_batches_of_known_size_have_one():
    batches = tf.data.Dataset.from_tensors(tf.zeros([8, 3])).repeat()
    (spec,) = parts(batches, range(1), 4).element_spec
    assert spec.shape == [2, 3]
    (spec,) = parts(batches, range(1), 3).element_spec
    assert spec.shape.as_list() == [None, 3]


def test_a_batch_that_cannot_be_divided_is_refused_on_several_replicas():
    replicas = Replicas()
    replicas.check(TrainConfig(batch_size=130))
    replicas.count = 4
    replicas.check(TrainConfig(batch_size=128))
    with pytest.raises(UsageError, match="130 .* among 4 equally; take 128, or 132"):
        replicas.check(TrainConfig(batch_size=130))
    with pytest.raises(UsageError, match="; take 4$"):
        replicas.check(TrainConfig(batch_size=3))


def test_an_unknown_strategy_is_refused():
    with pytest.raises(UsageError, match="expected one of none, mirrored, multi_worker"):
        Replicas("all")


def cluster(jobs, job="worker", index=0):
    return json.dumps({"cluster": jobs, "task": {"type": job, "index": index}})


def test_workers_are_numbered_and_a_chief_comes_first(monkeypatch):
    jobs = {"worker": ["b:2", "c:3"]}
    monkeypatch.setenv("TF_CONFIG", cluster(jobs, index=1))
    assert _workers() == ({"worker": 2}, 1)
    monkeypatch.setenv("TF_CONFIG", cluster({"chief": ["a:1"], **jobs}, index=1))
    assert _workers() == ({"chief": 1, "worker": 2}, 2)
    monkeypatch.setenv("TF_CONFIG", cluster({"chief": ["a:1"], **jobs}, "chief"))
    assert _workers() == ({"chief": 1, "worker": 2}, 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        json.dumps({"cluster": {"worker": ["a:1"]}}),
        cluster({"worker": ["a:1"]}, index=1),
        cluster({"worker": ["a:1"], "ps": ["b:1"]}),
    ],
)
def test_a_missing_or_malformed_cluster_is_refused_in_one_line(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match="TF_CONFIG: expected the host:port .* bin/launch.py") as e:
        Replicas("multi_worker")
    assert "\n" not in str(e.value)
