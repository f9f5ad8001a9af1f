"""A run that was stopped ends as one that never was."""

import contextlib
import gc
import os
import random
import signal
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfp_cinn.training.interruption import Interrupted
from tfp_cinn.training.position import Position

from tests.helpers.child import KillAtStep, KillInWrite, finish
from tfp_cinn import architectures, tasks
from tfp_cinn.data import Photos, PhotoSplit
from tfp_cinn.tasks import Colorization
from tfp_cinn.training import checkpoints, train
from tfp_cinn.training.checkpoints import Moment
from tfp_cinn.training.train import _batches
from tfp_cinn.workdir import Workdir


@pytest.fixture
def stop_after(monkeypatch):
    """Sends SIGTERM to this process after the given steps of all runs together."""
    count, stops = [0], set()
    count_batch = Position.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        count_batch(self, batch, logs)
        count[0] += 1
        if count[0] in stops:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Position, "on_train_batch_end", on_train_batch_end)
    return stops.update


def test_an_interrupted_run_ends_as_an_unbroken_one(
    config, tmp_path, stop_after, assert_same_run, capsys
):
    # Epochs of the run and of the data that don't fall together: ten batches and seven.
    config.train.update({"epochs": 3, "steps_per_epoch": 7})
    train(config.to_dict(), tmp_path / "unbroken")
    # Within an epoch, and during the last step of one, which is answered after the validation.
    stop_after({21 + 10, 21 + 14})
    for step in (10, 14):
        with pytest.raises(Interrupted, match=f"stopped by SIGTERM; saved .*step-{step:09d}.npz"):
            train(config.to_dict(), tmp_path / "broken")
    train(config.to_dict(), tmp_path / "broken")
    output = capsys.readouterr().out
    assert "going on after epoch 1, batch 3 of the next\n" in output
    assert "going on after epoch 2\n" in output
    assert_same_run(tmp_path / "unbroken", tmp_path / "broken")


def test_a_checkpoint_holds_every_variable_that_training_changes(config, tmp_path):
    section = config.to_dict()
    experiment = tasks.load(section)
    model = architectures.build(data=experiment, **section["model"])
    model.compile(keras.optimizers.Adam(1e-3))
    model.optimizer.build(model.trainable_variables)
    # Found without asking the model, which knows of some only on request.
    known = [v for v in gc.get_objects() if type(v).__name__ == "Variable"]
    known = [(v, v.numpy()) for v in known if isinstance(v, keras.Variable)]
    model.fit(experiment.training_batches(128, 0), verbose=0)
    changed = [(v, v.numpy()) for v, old in known if not _same(v.numpy(), old)]
    names = {v.name for v, _ in changed}
    assert {"kernel", "seed_generator_state", "iteration", "total"} <= names
    assert len(changed) > 3 * len(model.trainable_weights)  # each with Adam's two moments
    moment = Moment(13, 1, 3, 0.1 + 0.2, 2, {"seed": 1})
    checkpoints.save(model, Workdir(tmp_path), moment, keep=1)
    for variable, value in changed:
        variable.assign(np.zeros_like(value))
    assert checkpoints.restore(model, Workdir(tmp_path)) == (moment, [])
    for variable, value in changed:
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)


def test_a_run_goes_on_with_another_use_of_memory(config, tmp_path, stop_after, capsys):
    stop_after({3, 6})
    for memory in ("store", "recompute", "store"):
        config.train.memory = memory
        with contextlib.suppress(Interrupted):
            train(config.to_dict(), tmp_path)
    output = capsys.readouterr().out
    assert "going on after epoch 0, batch 3 of the next\n" in output
    assert "going on after epoch 0, batch 6 of the next\n" in output
    assert (tmp_path / "model.keras").exists()


@pytest.mark.long
def test_a_run_killed_at_any_moment_ends_as_an_unbroken_one(config, tmp_path, assert_same_run):
    config.train.update({"checkpoint_seconds": 0.0, "deterministic": True})
    unbroken, broken = Workdir(tmp_path / "unbroken"), Workdir(tmp_path / "broken")
    status, _ = finish(config, unbroken)
    assert status == 0
    rng = random.Random(int(os.environ.get("KILL_SEED", 0)))
    kills = [
        KillAtStep(rng.randint(2, 6)),
        KillInWrite(".npz", rng.randint(2, 6), "half"),
        KillInWrite(".npz", rng.randint(2, 3), "unnamed"),
        KillInWrite("model.keras", 1, "half"),
        KillAtStep(1),
    ]
    for kill in kills:
        good = checkpoints.newest(broken)
        had_model = broken.model_path.exists()
        status, output = finish(config, broken, kill)
        assert status == -signal.SIGKILL, output
        # What was there is there, and newer things are whole.
        latest = checkpoints.newest(broken)
        assert latest is not None and (good is None or latest.name >= good.name)
        with zipfile.ZipFile(latest) as archive:
            assert archive.testzip() is None
        if had_model:
            broken.load_model()
    status, output = finish(config, broken)
    assert status == 0 and "going on after epoch" in output
    assert not list(broken.path.rglob(".*"))  # what the kills left half written
    assert_same_run(unbroken.path, broken.path)


@pytest.mark.parametrize("steps_per_epoch", [None, 3])
def test_photographs_of_unknown_number_go_on_where_they_stopped(steps_per_epoch):
    images = [
        tf.constant(np.random.RandomState(k).randint(0, 256, (24, 24, 3), np.uint8))
        for k in range(5)
    ]
    some = PhotoSplit(8, lambda key: tf.data.Dataset.from_tensor_slices(images))
    experiment = Colorization(Photos("some", some, some, some, ""), 8, noise_std=0.1)
    section = {"batch_size": 6, "seed": 4, "steps_per_epoch": steps_per_epoch}
    # Seven batches of the 45 crops are an epoch of the data.
    steps = steps_per_epoch or 7

    def batches(epoch, batch, skipped=0):
        return _batches(experiment, section, steps, Moment(0, epoch, batch, 0.0, skipped))

    whole = [x.numpy() for x, _ in batches(0, 0).take(20)]
    for epoch, batch, skipped in ((0, 2, 0), (2, 1, 0), (2, 1, 2)):
        first = epoch * steps + batch + skipped
        resumed = batches(epoch, batch, skipped).take(20 - first)
        for a, (b, _) in zip(whole[first:], resumed, strict=True):
            np.testing.assert_array_equal(a, b)


def _same(a, b):
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
