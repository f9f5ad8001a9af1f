"""A run that was stopped ends as one that never was."""

import gc
import os
import random
import signal
import zipfile

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tests.helpers.binaries import start
from tests.helpers.child import KillAtStep, KillInWrite, finish
from tfp_cinn import architectures, tasks
from tfp_cinn.configs import TrainConfig
from tfp_cinn.data import Photos, PhotoSplit
from tfp_cinn.tasks import Colorization
from tfp_cinn.training import checkpoints, train
from tfp_cinn.training.checkpoints import Moment
from tfp_cinn.training.resumable import Interrupted
from tfp_cinn.training.train import _batches
from tfp_cinn.workdir import Workdir


def test_an_interrupted_run_ends_as_an_unbroken_one(
    config, finished, tmp_path, stop_after, assert_same_run, capsys
):
    broken = Workdir(tmp_path / "broken")
    # Within an epoch, and during the last step of one, which is answered after the validation.
    stop_after({2, 3})
    for step in (2, 3):
        with pytest.raises(Interrupted, match=f"stopped by SIGTERM; saved .*step-{step:09d}.npz"):
            train(config, broken)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    train(config, broken)
    output = capsys.readouterr().out
    assert "resuming after epoch 0, batch 2 of the next\n" in output
    assert "resuming after epoch 1\n" in output
    assert_same_run(finished, broken)


def test_a_checkpoint_holds_every_variable_that_training_changes(config, tmp_path):
    task, model = built(config)
    # Found without asking the model, which knows of some only on request.
    known = [v for v in gc.get_objects() if type(v).__name__ == "Variable"]
    known = [(v, v.numpy()) for v in known if isinstance(v, keras.Variable)]
    model.fit(task.training_batches(128, 0), steps_per_epoch=3, verbose=0)
    changed = [(v, v.numpy()) for v, old in known if not _same(v.numpy(), old)]
    names = {v.name for v, _ in changed}
    assert {"kernel", "seed_generator_state", "iteration", "total"} <= names
    assert len(changed) > 3 * len(model.trainable_weights)  # each with Adam's two moments
    moment = Moment(13, 1, 3, 0.1 + 0.2, [{"epoch": 1, "nats_per_dim": 0.1}], {"seed": 1})
    checkpoints.save(model, Workdir(tmp_path), moment)
    for variable, value in changed:
        variable.assign(np.zeros_like(value))
    assert checkpoints.restore(model, Workdir(tmp_path)) == moment
    for variable, value in changed:
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)


def built(config):
    task = tasks.load(config.to_dict())
    model = architectures.build(data=task, **config.model.to_dict())
    model.compile(keras.optimizers.Adam(1e-3))
    model.optimizer.build(model.trainable_variables)
    return task, model


def _same(a, b):
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def test_a_damaged_checkpoint_gives_way_to_the_one_before(config, finished, tmp_path, capsys):
    newest, before = sorted((finished / "checkpoints").iterdir(), reverse=True)
    content = newest.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    workdir, (_, model) = Workdir(tmp_path), built(config)
    (tmp_path / "checkpoints").mkdir()
    for damaged in (content[: len(content) // 3], bytes(flipped), b""):
        (workdir / "checkpoints" / before.name).write_bytes(before.read_bytes())
        (workdir / "checkpoints" / newest.name).write_bytes(damaged)
        moment = checkpoints.restore(model, workdir)
        assert (moment.step, moment.epoch, moment.batch) == (5, 1, 2)
        (said,) = capsys.readouterr().out.splitlines()
        assert newest.name in said and said.endswith("going back to the checkpoint before it")
        assert checkpoints.newest(workdir).name == before.name


def test_a_run_goes_on_with_another_use_of_memory(config, tmp_path, stop_after, capsys):
    config.train.epochs = 1
    config.model.subnet_dtype = "mixed_bfloat16"
    stop_after({1})
    with pytest.raises(Interrupted):
        train(config, tmp_path)
    config.train.memory = "recompute"
    model = train(config, tmp_path)
    assert "resuming after epoch 0, batch 1 of the next\n" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "metrics.csv")["reconstruction_error"][0] > 0
    subnets = [layer for layer in model.flow_layers if hasattr(layer, "layers")]
    assert [subnet.layers[0].compute_dtype for subnet in subnets] == ["bfloat16"] * 4


@pytest.mark.parametrize(("steps_per_epoch", "epoch"), [(None, 1), (3, 2)])
def test_photographs_of_unknown_number_go_on_where_they_stopped(steps_per_epoch, epoch):
    images = [
        tf.constant(np.random.RandomState(k).randint(0, 256, (24, 24, 3), np.uint8))
        for k in range(5)
    ]
    some = PhotoSplit(8, lambda key: tf.data.Dataset.from_tensor_slices(images))
    task = Colorization(Photos("some", some, some, some, ""), 8, noise_std=0.1)
    config = TrainConfig(batch_size=6, seed=4, steps_per_epoch=steps_per_epoch)
    # Seven batches of the 45 crops are an epoch of the data.
    steps = steps_per_epoch or 7

    def batches(moment):
        return _batches(task, config, steps, moment)

    first = epoch * steps + 1
    whole = [x.numpy() for x, _ in batches(Moment()).take(first + 5)]
    resumed = batches(Moment(epoch=epoch, batch=1)).take(5)
    for a, (b, _) in zip(whole[first:], resumed, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.long
def test_a_run_killed_at_any_moment_ends_as_an_unbroken_one(
    config, finished, tmp_path, assert_same_run
):
    broken = Workdir(tmp_path / "broken")
    rng = random.Random(int(os.environ.get("KILL_SEED", 0)))
    kills = [
        KillAtStep(rng.randint(1, 3)),
        KillInWrite(".npz", rng.randint(1, 2), half=rng.random() < 0.5),
        KillInWrite("model.keras", 1, half=True),
    ]
    for kill in kills:
        good, had_model = checkpoints.newest(broken), broken.model_path.exists()
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
    assert status == 0 and "resuming after epoch" in output
    assert not list(broken.path.rglob(".*"))  # what the kills left half written
    assert_same_run(finished, broken)


@pytest.mark.long
def test_a_signal_stops_the_program_with_a_checkpoint(tmp_path, number=signal.SIGINT):
    small = ["--config.model.blocks=2", "--config.model.hidden=(16,)", "--config.train.epochs=1000"]
    process = start("train", "--config=digits", f"--workdir={tmp_path}", *small)
    while "bits_per_dim" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"stopped by {number.name}; saved" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert checkpoints.newest(Workdir(tmp_path)) is not None
