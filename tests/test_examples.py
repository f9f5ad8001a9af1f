"""The problems in examples/, each through its config; and the benchmark's own reference."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import tasks
from tfp_cinn.cli import configs
from tfp_cinn.cli.user_code import run_file

ROOT = pathlib.Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """Forget the tasks afterwards."""
    monkeypatch.setattr(tasks.task, "_TASKS", dict(tasks.task._TASKS))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_trained_by_its_config(path):
    config = configs.load(str(path), [("data.simulations", "64"), ("model.blocks", "1")])
    task = tasks.load(config)
    assert task.name == path.stem
    x, cond = task.simulate(500, 3)
    for drawn, known, other in zip(
        (x, cond), task.simulate(500, 3), task.simulate(500, 4), strict=True
    ):
        tf.nest.map_structure(np.testing.assert_array_equal, drawn, known)
        assert not np.array_equal(tf.nest.flatten(drawn)[0], tf.nest.flatten(other)[0])
    model = task.build(config["model"])
    model.compile("adam", run_eagerly=True)
    before = [w.numpy() for w in model.trainable_weights]
    history = model.fit(task.training_batches(32, 0, 0), epochs=2, verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.any(weight.numpy() != old), weight.path
    first = tf.nest.map_structure(lambda part: np.float32(part[:2]), cond)
    samples = model.distribution.sample(first, 50, seed=0).numpy()
    assert np.isfinite(samples).all()
    if (bounds := config["data"]["bounds"]) is not None:
        low, high = (side if side is not None else np.inf for side in bounds)
        assert ((low <= x) & (x <= high)).all()
        assert ((low <= samples) & (samples <= high)).all()


def test_the_exact_posterior_of_an_arm_is_that_of_rejection():
    benchmark = run_file(ROOT / "benchmarks/inference_problems.py", "inference_problems")
    arm = benchmark.kinematics
    (point, *_), (posterior, *_) = benchmark.reachable(proposals=40_000)
    np.testing.assert_allclose(arm.observe(posterior), np.tile(point, (10_000, 1)), atol=1e-9)
    x = arm.PRIOR_STD * np.random.default_rng(0).normal(size=(1_000_000, 4))
    x = x[np.linalg.norm(arm.observe(x) - point, axis=1) < 0.05]
    assert len(x) > 1000  # so that means and deviations have errors below 0.015
    np.testing.assert_allclose(posterior.mean(axis=0), x.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(np.cov(posterior.T), np.cov(x.T), atol=0.03)
