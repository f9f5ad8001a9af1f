"""Faults that happen to runs, injected for real: what is lost, and what is said."""

import contextlib
import csv
import errno
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import tensorflow as tf
from tfp_cinn.training.position import Position

from tests.helpers.child import FillDiskAtStep, finish, log, small_config, start
from tfp_cinn import NonFiniteError, UsageError, data, files
from tfp_cinn.errors import WriteError
from tfp_cinn.training import checkpoints, colorization_config, train
from tfp_cinn.workdir import Workdir

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


def run(config, workdir):
    return train(config.to_dict(), workdir)


def contents(path):
    return {p: p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name != "lock"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two epochs with checkpoints after 19 and 20 steps; to be copied."""
    config = small_config()
    config.train.checkpoint_seconds = 0.0
    path = tmp_path_factory.mktemp("runs") / "finished"
    run(config, path)
    return path


@pytest.fixture
def workdir(finished, tmp_path):
    return Workdir(shutil.copytree(finished, tmp_path / "run"))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "absurd"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(config, workdir, damage):
    newest = checkpoints.newest(workdir)
    content = bytearray(newest.read_bytes())
    if damage == "truncated":
        del content[len(content) // 3 :]
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
    elif damage == "empty":
        content.clear()
    else:  # an array of a shape that no memory holds
        at = content.index(b"'shape': (")
        content[at : at + 12] = b"'shape': (9,"
    newest.write_bytes(content)
    model, moment, problems = restored(config, workdir)
    assert (moment.step, moment.epoch, moment.batch) == (19, 1, 9)
    assert len(problems) == 1 and newest.name in problems[0] and "\n" not in problems[0]
    assert newest.with_name(newest.name + ".damaged").exists()


def restored(config, workdir):
    import keras

    from tfp_cinn import architectures, tasks

    model = architectures.build(data=tasks.load(config.to_dict()), **config.model.to_dict())
    model.compile(keras.optimizers.Adam(1e-3))
    return model, *checkpoints.restore(model, workdir)


def test_of_damaged_checkpoints_one_is_kept_and_none_counts(config, workdir, capsys):
    for step in (21, 22, 23):
        (workdir / f"checkpoints/step-{step:09d}.npz").write_bytes(b"junk")
    config.train.epochs = 3
    run(config, workdir.path)
    out = capsys.readouterr().out
    assert out.count("going back to the checkpoint before it") == 3
    assert "going on after epoch 2" in out
    names = sorted(p.name for p in (workdir / "checkpoints").iterdir())
    assert names == [
        "step-000000020.npz",
        "step-000000023.npz.damaged",
        "step-000000030.npz",
    ]


def test_checkpoints_of_an_earlier_release_are_named(config, workdir):
    for path in (workdir / "checkpoints").iterdir():
        path.unlink()
    (workdir / "checkpoints/epoch-00002.keras").write_bytes(b"")
    with pytest.raises(UsageError, match="epoch-00002.keras: a checkpoint of an earlier release"):
        restored(config, workdir)


def test_the_best_model_survives_a_fall_back_to_an_older_checkpoint(workdir):
    """Else epochs after the older one would replace it with worse ones for a time."""
    best = min(float(row["val_nats_per_dim"]) for row in rows(workdir))
    assert checkpoints.best(workdir) == pytest.approx(best, abs=1e-6)
    workdir.model_path.write_bytes(workdir.model_path.read_bytes()[:-5])
    assert checkpoints.best(workdir) == np.inf


def rows(workdir):
    with open(workdir / "metrics.csv") as file:
        return list(csv.DictReader(file))


@pytest.mark.long
def test_a_second_trainer_is_refused_and_the_lock_dies_with_the_first(config, workdir):
    config.train.epochs = 100_000
    first = start(config, workdir.path)
    try:
        while "going on after epoch 2" not in (text := log(workdir.path.parent)):
            assert first.is_alive(), text
            time.sleep(0.1)
        with pytest.raises(UsageError, match=f"another training run is at work .*{first.pid} on"):
            run(config, workdir.path)
        # Others only read.
        workdir.load_model()
    finally:
        first.kill()
        first.join()
    with workdir.locked():
        pass


@contextlib.contextmanager
def tmpfs(path, options):
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def can_mount(tmp_path):
    with contextlib.suppress(subprocess.CalledProcessError, OSError), tmpfs(tmp_path / "try", ""):
        return True
    return False


@as_root
@pytest.mark.long
def test_on_a_full_disk_training_goes_on_and_the_last_checkpoint_stays(
    config, workdir, tmp_path, assert_same_run
):
    if not can_mount(tmp_path):
        pytest.skip("this container may not mount")
    config.train.update({"epochs": 4, "checkpoint_seconds": 0.0})
    unbroken = Workdir(tmp_path / "unbroken")
    assert finish(config, unbroken)[0] == 0
    with tmpfs(tmp_path / "disk", "size=2m") as disk:
        broken = Workdir(shutil.copytree(workdir.path, disk / "run"))
        best = broken.model_path.read_bytes()
        # Full from the fifth step on.
        status, output = finish(config, broken, FillDiskAtStep(5, disk / "filler"), tmp_path)
        assert status == 2, output
        assert "No space left on device); what was there is kept; training goes on" in output
        last = output.splitlines()[-1]
        assert "training stopped; last good checkpoint: " in last and "step-000000024.npz" in last
        assert "epoch 4/4" in output and "Traceback" not in output
        assert not list(broken.path.rglob(".*"))
        assert checkpoints.newest(broken).name == "step-000000024.npz"
        assert broken.model_path.read_bytes() == best
        broken.load_model()
        (disk / "filler").unlink()
        status, output = finish(config, broken, None, tmp_path)
        assert status == 0 and "going on after epoch 2, batch 4 of the next" in output
        assert_same_run(unbroken.path, broken.path)


def test_a_checkpoint_that_cannot_be_written_is_tried_again(config, workdir, monkeypatch, capsys):
    config.train.update({"epochs": 3, "checkpoint_seconds": 0.0})
    written, write_through = [], files.write_through

    def full(place):
        if str(place).endswith(".npz"):
            written.append(place)
            if len(written) < 4:
                raise OSError(errno.ENOSPC, "No space left on device")
        write_through(place)

    monkeypatch.setattr(files, "write_through", full)
    run(config, workdir.path)
    errors = capsys.readouterr().err
    assert errors.count("No space left on device); what was there is kept; training goes on") == 1
    assert checkpoints.newest(workdir).name == "step-000000030.npz"
    assert not list(workdir.path.rglob(".*"))


@as_root
@pytest.mark.long
def test_a_read_only_workdir_is_refused_in_one_line(config, workdir, tmp_path):
    if not can_mount(tmp_path):
        pytest.skip("this container may not mount")
    config.train.epochs = 3
    before = contents(workdir.path)
    bind = ["mount", "--bind", workdir.path, workdir.path]
    subprocess.run(bind, check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", workdir.path], check=True)
        with pytest.raises(UsageError, match=r"can't be written \(Read-only file system\)"):
            run(config, workdir.path)
        workdir.load_model()
    finally:
        subprocess.run(["umount", "--lazy", workdir.path], check=True)
    assert contents(workdir.path) == before


@pytest.fixture
def poison(monkeypatch):
    """Makes x NaN in given batches of the data, counted over all epochs."""
    good = data.training_batches

    def poison(*numbers):
        def bad(*args, epoch, **kwargs):
            batches = good(*args, epoch=epoch, **kwargs)
            return batches.enumerate(10 * tf.cast(epoch, tf.int64)).map(
                lambda n, batch: (
                    tf.where(tf.reduce_any(n == numbers), np.nan, 0.0) + batch[0],
                    batch[1],
                )
            )

        monkeypatch.setattr(data, "training_batches", bad)

    return poison


def test_nan_stops_with_the_last_good_checkpoint(config, workdir, poison):
    poison(23, 24)
    config.train.epochs = 3
    with pytest.raises(NonFiniteError) as caught:
        run(config, workdir.path)
    assert "epoch 3, batch 4: the data x hold NaN" in str(caught.value)
    assert "training stopped; last good checkpoint: " in str(caught.value)
    assert checkpoints.newest(workdir).name == "step-000000020.npz"
    workdir.load_model()


def test_nan_is_skipped_by_config_and_counted(
    config, workdir, tmp_path, poison, capsys, monkeypatch
):
    config.train.update({"epochs": 3, "on_nan": "skip", "max_skipped": 2})
    # One in the middle of the epoch, two in a row at what would be its end.
    poison(23, 30, 31)
    unbroken = shutil.copytree(workdir.path, tmp_path / "unbroken")
    run(config, unbroken)
    out, errors = capsys.readouterr()
    assert errors.count("the batch is skipped") == 3
    assert "epoch 3, batch 4: the data x hold NaN" in errors
    assert rows(Workdir(unbroken))[-1]["skipped"] == "3.0"
    (newest,) = [checkpoints.newest(Workdir(unbroken))]
    assert newest.name == "step-000000030.npz"  # an epoch keeps its number of steps
    model, moment, _ = restored(config, Workdir(unbroken))
    assert moment.skipped == 3 and int(model.optimizer.iterations.numpy()) == 30
    # One more in a row than may be skipped.
    poison(23, 24, 25)
    with pytest.raises(NonFiniteError, match=r"data x hold NaN.*after 2 that were skipped.*000020"):
        run(config, workdir.path)


@pytest.mark.long
def test_data_that_disappear_stop_the_run_where_it_is(config, tmp_path, monkeypatch):
    from tests.helpers.synthetic_photos import write_folder

    folder = write_folder(tmp_path / "photos", 6, 64, 64)
    config = colorization_config()
    config.data.update(
        {"folder": str(folder), "downscale": 1, "size": 16, "ab_size": 16, "noise_std": 0.1}
    )
    config.data.update({"validation_fraction": 0.0, "test_fraction": 0.0})
    config.model.update({"widths": (8, 8, 8, 8), "levels": ((8, 8), (8, 8), (8,)), "vector": 8})
    # Many epochs, since some are read ahead.
    config.train.update({"epochs": 30, "batch_size": 16})
    # Read from the disk at each use, as more photographs than fit the memory are.
    load = data.load_photos
    monkeypatch.setattr(data, "load_photos", lambda *a, **k: load(*a, **k, cache_bytes=0))
    victim, hidden = folder / "3.png", tmp_path / "hidden.png"
    count = Position.on_train_batch_end

    def disappear(self, batch, logs=None):
        count(self, batch, logs)
        if self.moment.step == 8:
            victim.rename(hidden)

    monkeypatch.setattr(Position, "on_train_batch_end", disappear)
    with pytest.raises(UsageError) as caught:
        run(config, tmp_path / "run")
    message = str(caught.value)
    assert f"the data can't be read any more ({victim}; No such file or directory)" in message
    assert "; saved " in message and "\n" not in message
    hidden.rename(victim)
    monkeypatch.undo()
    monkeypatch.setattr(data, "load_photos", lambda *a, **k: load(*a, **k, cache_bytes=0))
    steps = int(checkpoints.newest(Workdir(tmp_path / "run")).stem.partition("-")[2])
    assert 8 <= steps < 30 * 6
    run(config, tmp_path / "run")
    assert [int(row["epoch"]) for row in rows(Workdir(tmp_path / "run"))] == [*range(1, 31)]


def test_wrong_answers_to_nan_are_refused(config, tmp_path):
    config.train.on_nan = "pray"
    with pytest.raises(UsageError, match='config.train.on_nan: expected "stop" or "skip"'):
        run(config, tmp_path / "new")
    with pytest.raises(WriteError), files.writing(tmp_path / "none" / "such" / "file"):
        pass
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # given back by all runs above
