import errno

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfp_cinn import NonFiniteError, UsageError, data, files
from tfp_cinn.configs import TrainConfig
from tfp_cinn.training import checkpoints, train


def metrics(workdir):
    return pd.read_csv(workdir / "metrics.csv")


def contents(workdir):
    return {p: p.read_bytes() for p in workdir.path.rglob("*") if p.is_file() and p.name != "lock"}


def test_a_run_leaves_model_history_and_pictures(finished):
    rows = metrics(finished)
    assert list(rows["epoch"]) == [1, 2]
    assert finished.config()["train"]["epochs"] == 2
    for picture in ("curve.png", "samples.png"):
        assert (finished / picture).read_bytes().startswith(b"\x89PNG")
    assert list((finished / "tensorboard").glob("events*"))
    assert not list(finished.path.rglob(".*"))  # no scratch files
    model = finished.load_model()
    # ActNorm was calibrated on the first batch, not left the identity
    scales = next(weight for weight in model.weights if weight.name == "log_scale")
    assert np.abs(scales).max() > 0.1
    # The model is that of the best epoch.
    validation = data.evaluation_batches(data.load("digits", num_validation=150).validation, 128)
    model.compile()
    found = model.evaluate(validation, verbose=0, return_dict=True)["nats_per_dim"]
    np.testing.assert_allclose(found, rows["val_nats_per_dim"].min(), rtol=1e-5)


def test_a_run_goes_on_to_more_epochs_and_ends_when_it_gets_no_better(config, workdir, capsys):
    best = workdir.model_path.read_bytes()
    config.train.update({"epochs": 10, "learning_rate": 1.0, "patience": 1})
    train(config, workdir)
    out = capsys.readouterr().out
    assert "resuming after epoch 2" in out and "Epoch 3/10" in out and "bits_per_dim: " in out
    rows = metrics(workdir)
    assert list(rows["epoch"]) == [1, 2, 3]  # the third is worse
    assert rows["val_nats_per_dim"][2] > rows["val_nats_per_dim"][1]
    assert workdir.model_path.read_bytes() == best
    # The learning rate is the config's, not the checkpoint's.
    np.testing.assert_allclose(rows["learning_rate"], [5e-4, 5e-5, 0.1], rtol=1e-6)
    names = sorted(p.name for p in (workdir / "checkpoints").iterdir())
    assert names == ["step-000000008.npz", "step-000000009.npz"]
    train(config, workdir)  # has nothing to do
    assert len(metrics(workdir)) == 3


def test_the_learning_rate_follows_the_config():
    config = TrainConfig(epochs=50)
    rates = [config.rate(epoch) for epoch in (0, 19, 20, 39, 40)]
    np.testing.assert_allclose(rates, [5e-4, 5e-4, 5e-5, 5e-5, 5e-6])
    config = TrainConfig(epochs=101, milestones=(), warm_up_epochs=1, final_decay=0.01)
    rates = [config.rate(epoch) for epoch in (0, 1, 102)]
    np.testing.assert_allclose(rates, [1e-5, 5e-4, 5e-6])


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("epochs", 0, "at least 1, got 0"),
        ("batch_size", 2.5, "at least 1, got 2.5"),
        ("patience", 0, "at least 1, or None, got 0"),
        ("learning_rate", 0.0, "more than 0, got 0.0"),
        ("checkpoint_seconds", -1.0, "0 or more, got -1.0"),
        ("milestones", 3, r"epochs, such as \(20, 40\), got 3"),
        ("final_decay", 1e9, "more than 0, at most 1, got"),
        ("seed", -1, "0 to 4294967295"),
        ("memory", "forget", "'store' or 'recompute', got 'forget'"),
    ],
)
def test_a_wrong_field_is_refused_in_one_line(field, value, expected):
    with pytest.raises(UsageError, match=f"^config.train.{field}: expected {expected}"):
        TrainConfig(**{field: value})


def test_an_unknown_field_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="config.train.epoch: no such field; did you mean epochs?"):
        TrainConfig.of({"epoch": 3})


def test_wrong_fields_are_answered_before_anything_is_written(config, tmp_path):
    config.train.batch_size = 5000
    with pytest.raises(UsageError, match="batch_size is 5000"):
        train(config, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("fault", ["config", "imported", "locked", "junk", "earlier"])
def test_a_workdir_that_cannot_go_on_is_refused_and_left_alone(config, workdir, fault):
    folder = workdir / "checkpoints"
    newest = checkpoints.newest(workdir)
    config.train.epochs = 3
    message = "no checkpoint can be loaded"
    if fault == "config":
        config.model.blocks = 3
        message = "model.blocks is 2 there and 3 here"
    elif fault == "imported":
        for path in folder.iterdir():
            path.unlink()
        message = "model.keras: holds weights that weren't trained here"
    elif fault == "junk":
        for path in folder.iterdir():
            path.write_bytes(b"junk")
    elif fault == "earlier":
        for path in folder.iterdir():
            np.savez(path, x=np.zeros(3))
        message = f"{newest.name}.*not a checkpoint of this release"
    before = contents(workdir)
    if fault == "locked":
        with workdir.locked(), pytest.raises(UsageError, match="another training run is at work"):
            train(config, workdir)
    else:
        with pytest.raises(UsageError, match=message):
            train(config, workdir)
    # The config may change: of the fields of training only.
    unchanged = {path: content for path, content in before.items() if path.suffix != ".json"}
    assert unchanged.items() <= contents(workdir).items()


def test_a_workdir_that_cannot_be_made_is_said(config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="the workdir can't be written .File exists"):
        train(config, tmp_path / "file")


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
    poison(7)
    config.train.epochs = 3
    with pytest.raises(NonFiniteError) as caught:
        train(config, workdir)
    assert "epoch 3, batch 2: the data x hold NaN" in str(caught.value)
    assert "training stopped; last good checkpoint: " in str(caught.value)
    assert checkpoints.newest(workdir).name == "step-000000007.npz"
    workdir.load_model()


def test_a_diverged_epoch_is_not_saved(config, workdir, monkeypatch):
    good = data.evaluation_batches

    def bad(*args, **kwargs):
        return good(*args, **kwargs).map(lambda x, c: (x * 1e30, c))

    monkeypatch.setattr(data, "evaluation_batches", bad)
    config.train.epochs = 3
    with pytest.raises(NonFiniteError, match="validation likelihood is .*step-000000008.npz"):
        train(config, workdir)
    assert len(metrics(workdir)) == 2


def test_a_checkpoint_that_cannot_be_written_is_tried_again(config, workdir, monkeypatch, capsys):
    config.train.update({"epochs": 3})
    tries, write_through = [0], files.write_through

    def full(place):
        if str(place).endswith(".npz"):
            tries[0] += 1
            if tries[0] <= failures:
                raise OSError(errno.ENOSPC, "No space left on device")
        write_through(place)

    monkeypatch.setattr(files, "write_through", full)
    failures = 99
    with pytest.raises(UsageError, match=r"training stopped; last good checkpoint: .*000006.npz"):
        train(config, workdir)
    workdir.load_model()
    tries[0], failures = 0, 2
    capsys.readouterr()
    train(config, workdir)
    errors = capsys.readouterr().err
    assert errors.count("No space left on device); the old file is kept; training continues") == 2
    assert checkpoints.newest(workdir).name == "step-000000009.npz"
    assert not list(workdir.path.rglob(".*"))


def test_a_file_of_the_data_that_disappears_stops_the_run_where_it_is(
    config, workdir, monkeypatch, tmp_path
):
    good, gone = data.training_batches, str(tmp_path / "3.png")

    def bad(*args, epoch, **kwargs):
        read = lambda x, c: (x + tf.cast(tf.strings.length(tf.io.read_file(gone)), x.dtype), c)  # noqa: E731
        batches = good(*args, epoch=epoch, **kwargs)
        return batches.take(7).concatenate(batches.skip(7).map(read))

    monkeypatch.setattr(data, "training_batches", bad)
    config.train.epochs = 3
    with pytest.raises(UsageError, match=f"the data can't be read any more .{gone}") as caught:
        train(config, workdir)
    assert "; saved " in str(caught.value) and "\n" not in str(caught.value)
    assert checkpoints.newest(workdir).name == "step-000000007.npz"
