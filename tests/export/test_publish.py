"""A version appears whole or not at all."""

import shutil
import subprocess

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.exporting import FACTS, tree
from tfp_cinn import CINN, UsageError
from tfp_cinn.bijectors import Chain, GlowCoupling
from tfp_cinn.export import BATCH_SIZES, export_model, publish, verify
from tfp_cinn.export import export as run
from tfp_cinn.export.publish import choose_version, publishing, versions
from tfp_cinn.networks import MLP


@pytest.mark.long
def test_a_version_is_verified_in_a_fresh_process(published, tmp_path, monkeypatch):
    report = verify(published)
    assert report["signatures"] == [
        "card", "decode", "encode", "log_prob", "sample", "serving_default"
    ]  # fmt: skip
    assert report["records"] == 6 * len(BATCH_SIZES)
    assert report["largest_difference"] < 1e-5

    copy = shutil.copytree(published, tmp_path / "copy")
    shutil.rmtree(copy / "variables")
    with pytest.raises(UsageError, match="copy: can't be served: .*variables.*; export the model"):
        verify(copy)

    (tmp_path / "dies.py").write_text("import os; os.abort()")
    monkeypatch.setattr(publish.session, "__file__", str(tmp_path / "dies.py"))
    with pytest.raises(UsageError, match=r"the process that loaded it died \(status -6\)"):
        verify(published)


def test_weights_that_are_not_the_models_are_not_published(model, tmp_path, monkeypatch):
    """Only the replay can notice."""
    honest = run._write_saved_model
    weight = model.trainable_weights[-1]
    right = weight.numpy()

    def other_weights(path, functions):
        weight.assign(right + 1)
        honest(path, functions)
        weight.assign(right)

    monkeypatch.setattr(run, "_write_saved_model", other_weights)
    with pytest.raises(UsageError, match="differs by .* from what the model gave in Py") as caught:
        export_model(model, tmp_path / "digits", batch_sizes=[1], facts=FACTS)
    text = str(caught.value)
    # The scratch folder is gone by then.
    assert text.startswith(f"{tmp_path}/digits/1: can't be served: ") and ".tmp" not in text
    assert text.endswith("export the model again; nothing was published") and "\n" not in text
    assert tree(tmp_path) == []


def test_versions_count_up_and_are_never_overwritten(tmp_path):
    tmp_path /= "model-1.x"
    tmp_path.mkdir()
    assert choose_version(tmp_path / "new", None) == 1
    for name in ("1", "007", "x9", ".8-ab.tmp", "-5", "٣", str(2**63)):
        (tmp_path / name).mkdir()
    assert versions(tmp_path) == {1: tmp_path / "1", 7: tmp_path / "007"}
    assert choose_version(tmp_path, None) == 8
    assert choose_version(tmp_path, 3) == 3
    for version in (1, 7):  # '007' is version 7 to a server
        with pytest.raises(UsageError, match="exists already and is kept; .* next is 8"):
            choose_version(tmp_path, version)
    for version in (0, 2**63, "3", 1.5):
        with pytest.raises(UsageError, match="version: expected a whole number"):
            choose_version(tmp_path, version)
    assert choose_version(tmp_path, np.int64(9)) == 9
    for name in ("7", "a:b", "with space", "é"):
        with pytest.raises(UsageError, match="expected a folder MODELS/NAME"):
            choose_version(tmp_path / name, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output": ""}, "expected a path, got an empty one"),
        ({"output": "file"}, r"expected a folder of versions \(Not a directory\)"),
        ({"output": "file/m"}, r"can't be written \(Not a directory\); nothing was published"),
        ({"batch_sizes": [2, 2]}, "batch_sizes: expected up to 100 increasing whole numbers"),
        ({"batch_sizes": range(1, 102)}, "batch_sizes: expected up to 100 increasing whole num"),
        ({"bad_rows": "zero"}, "bad_rows: expected nan or flag, got 'zero'"),
        ({"facts": FACTS | {"class_names": ["cat", "dog"]}}, "of 10 classes, got 2 class_names"),
        ({"model": keras.layers.Dense(2)}, "expected a tfp_cinn.CINN to export, got a Dense"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(model, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=message) as caught:
        export_model(**{"model": model, "output": "digits", "facts": FACTS} | arguments)
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == ["file"]


def test_of_two_exports_of_one_version_the_first_stays(tmp_path):
    models = tmp_path / "m"
    with pytest.raises(UsageError, match="this version exists by now"):  # noqa: SIM117
        with publishing(models, 1) as late:
            (late / "who").write_text("late")
            with publishing(models, 1) as early:
                (early / "who").write_text("early")
    assert tree(tmp_path) == ["m", "m/1", "m/1/who"]
    assert (models / "1" / "who").read_text() == "early"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_stays_of_an_export_that_fails(tmp_path, error):
    with pytest.raises((UsageError, KeyboardInterrupt)):  # noqa: SIM117
        with publishing(tmp_path / "b", 4) as path:
            (path / "x").write_text("x")
            raise error
    assert tree(tmp_path) == []


def test_a_version_is_written_through_to_the_disk(tmp_path, monkeypatch):
    through = []
    monkeypatch.setattr(publish, "write_through", through.append)
    with publishing(tmp_path / "b", 1) as path:
        (path / "x").write_text("x")
    # The last two after the rename.
    assert through == [path / "x", path, tmp_path / "b", tmp_path]


def test_bad_weights_are_named_before_anything_is_written(model, tmp_path):
    weight = model.trainable_weights[2]
    right = weight.numpy()
    spoilt = right.copy()
    spoilt.flat[:2] = [np.nan, np.inf]
    try:
        weight.assign(spoilt)
        with pytest.raises(UsageError, match=f"2 values of its weight {weight.path} are NaN"):
            export_model(model, tmp_path / "digits", facts=FACTS)
        weight.assign(right * 1e20)  # finite, but nothing that it computes is
        with pytest.raises(UsageError, match="gives NaN or infinite values for ordinary inputs"):
            export_model(model, tmp_path / "digits", batch_sizes=[1], facts=FACTS)
    finally:
        weight.assign(right)
    assert tree(tmp_path) == []


class FailingConditioner(keras.layers.Layer):
    """Fails for ordinary conditions, not for the zeros that it is built with."""

    def call(self, cond):
        with tf.control_dependencies([tf.debugging.assert_equal(cond, tf.zeros_like(cond))]):
            return tf.identity(cond)


def test_errors_of_the_model_are_not_told_as_those_of_the_disk(tmp_path):
    model = CINN(Chain([GlowCoupling(MLP([4]))]), (4,), FailingConditioner(), cond_shape=(2,))
    with pytest.raises(UsageError, match="sample: the model fails for 2 rows of ordinary inp") as e:
        export_model(model, tmp_path / "m", batch_sizes=[2])
    assert "\n" not in str(e.value) and "can't be written" not in str(e.value)
    assert tree(tmp_path) == []


@pytest.mark.long
def test_a_full_disk_is_left_as_it_was(model, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, stderr=-3).returncode:
        pytest.skip("no right to mount a file system")
    try:
        (folder / "digits" / "1").mkdir(parents=True)
        with pytest.raises(UsageError, match=r"digits/2: can't be written \(.*No space left"):
            export_model(model, folder / "digits", batch_sizes=[1, 64], facts=FACTS)
        assert tree(folder) == ["digits", "digits/1"]
    finally:
        subprocess.run(["umount", str(folder)], check=True)
