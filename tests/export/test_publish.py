"""A version appears whole or not at all."""

import os
import pathlib
import shutil
import subprocess

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import EncodeError
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from tests.helpers.exporting import FACTS, tree
from tfp_cinn import CINN, UsageError
from tfp_cinn.bijectors import Chain, GlowCoupling
from tfp_cinn.export import BATCH_SIZES, export_model, publish, verify
from tfp_cinn.export import export as run
from tfp_cinn.export.publish import choose_version, publishing, versions
from tfp_cinn.export.session import WARM_UP
from tfp_cinn.networks import MLP


@pytest.fixture
def copy(published, tmp_path):
    return shutil.copytree(published, tmp_path / "copy")


def test_a_whole_model_is_verified(published):
    report = verify(published)
    assert report["signatures"] == [
        "card", "decode", "encode", "log_prob", "sample", "serving_default"
    ]  # fmt: skip
    assert report["records"] == 6 * len(BATCH_SIZES)
    assert report["largest_difference"] < 1e-5


@pytest.mark.parametrize("name", ["saved_model.pb", "model_card.json", str(WARM_UP)])
def test_damaged_and_missing_files_are_found(copy, name):
    flip(copy, name)
    with pytest.raises(UsageError, match=f"{name} is missing or damaged; export the model again"):
        verify(copy)
    (copy / name).unlink()
    with pytest.raises(UsageError, match=f"{name} is missing or damaged"):
        verify(copy)
    with pytest.raises(UsageError, match="not an exported model"):
        verify(copy.parent)


def flip(path, name):
    file = path / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_what_the_server_could_not_load_is_not_published(model, tmp_path, monkeypatch):
    """Damage before the checksums are made, which only the loader can notice."""
    honest = run.write_checksums

    def damaged(path):
        shutil.rmtree(path / "variables")
        honest(path)

    monkeypatch.setattr(run, "write_checksums", damaged)
    with pytest.raises(UsageError, match="can't be served: .*variables") as caught:
        export_model(model, tmp_path / "models" / "digits", batch_sizes=[1], facts=FACTS)
    text = str(caught.value)
    assert "\n" not in text
    # The scratch folder is gone by then.
    assert text.startswith(f"{tmp_path}/models/digits/1: ") and ".tmp" not in text
    assert text.endswith("export the model again; nothing was published")
    assert tree(tmp_path) == []


def test_weights_that_are_not_the_models_are_not_published(model, tmp_path, monkeypatch):
    honest = run._write_saved_model
    weight = model.trainable_weights[-1]
    right = weight.numpy()

    def other_weights(path, functions):
        weight.assign(right + 1)
        honest(path, functions)
        weight.assign(right)

    monkeypatch.setattr(run, "_write_saved_model", other_weights)
    with pytest.raises(UsageError, match="differs by .* from what the model gave in Python"):
        export_model(model, tmp_path / "digits", batch_sizes=[1], facts=FACTS)
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
    for version in (0, -1, 2**63, "3", 1.5, True, [2]):
        with pytest.raises(UsageError, match="version: expected a whole number"):
            choose_version(tmp_path, version)
    assert choose_version(tmp_path, np.int64(9)) == 9
    for name in ("7", "a:b", "with space", "é"):
        with pytest.raises(UsageError, match="expected a folder MODELS/NAME"):
            choose_version(tmp_path / name, None)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="expected a folder of versions, it is a file"):
        choose_version(tmp_path / "file", None)
    (tmp_path / str(2**63 - 1)).mkdir()
    with pytest.raises(UsageError, match=f"expected a whole number from 1 to {2**63 - 1}"):
        choose_version(tmp_path, None)


def test_outputs_that_cannot_be_are_refused_in_one_line(model, tmp_path):
    (tmp_path / "file").write_text("")
    for output, message in (
        ("", "expected a path, got an empty one"),
        (tmp_path / ("m" * 300), r"can't be read \(File name too long\)"),
        (tmp_path / "file" / "m", r"can't be written \(Not a directory\)"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            export_model(model, output, batch_sizes=[1], facts=FACTS)
        assert "\n" not in str(caught.value)
    assert tree(tmp_path) == ["file"]


def test_a_folder_that_may_not_be_looked_at_is_refused(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o600)
    root = os.geteuid() == 0
    try:
        if root:  # who may look everywhere
            tmp_path.chmod(0o600)
            os.seteuid(65534)
        with pytest.raises(UsageError, match=r"digits: can't be read \(Permission denied\)"):
            choose_version(tmp_path / "closed" / "digits", None)
    finally:
        if root:
            os.seteuid(0)
            tmp_path.chmod(0o700)
        (tmp_path / "closed").chmod(0o700)


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
        with publishing(tmp_path / "a" / "b", 4) as path:
            (path / "x").write_text("x")
            raise error
    assert tree(tmp_path) == []


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


@pytest.mark.parametrize("sizes", [[], [0], [2, 2], ["a"], 4, range(1, 102)])
def test_batch_sizes_are_checked(model, tmp_path, sizes):
    with pytest.raises(UsageError, match="batch_sizes: expected up to 100 increasing whole numb"):
        export_model(model, tmp_path / "digits", batch_sizes=sizes)
    assert tree(tmp_path) == []


def test_a_warm_up_record_of_more_than_a_protobuf_is_refused(model, tmp_path, monkeypatch):
    def too_large(record):
        raise EncodeError("Failed to serialize proto")

    monkeypatch.setattr(PredictionLog, "SerializeToString", too_large)
    with pytest.raises(UsageError, match="batch_sizes: a request of 1 rows .* is over 2 GiB"):
        export_model(model, tmp_path / "digits", batch_sizes=[1], facts=FACTS)
    assert tree(tmp_path) == []


def test_what_is_no_cinn_is_refused(tmp_path):
    with pytest.raises(UsageError, match="expected a tfp_cinn.CINN to export, got a Sequential"):
        export_model(keras.Sequential([keras.layers.Dense(2)]), tmp_path / "m")


def test_class_names_have_to_be_those_of_the_condition(model, tmp_path):
    facts = FACTS | {"class_names": ["cat", "dog"]}
    with pytest.raises(UsageError, match="one of 10 classes, got 2 class_names"):
        export_model(model, tmp_path / "m", facts=facts)
    assert tree(tmp_path) == []


def test_folders_that_were_made_are_written_through_to_the_disk(tmp_path, monkeypatch):
    through = []
    monkeypatch.setattr(publish, "write_through", through.append)
    with publishing(tmp_path / "a" / "b", 1) as path:
        (path / "x").write_text("x")
    inside = [path / "x", path]
    assert set(through) == {*inside, tmp_path, tmp_path / "a", tmp_path / "a" / "b"}
    assert through[-1] == tmp_path / "a" / "b"  # after the rename
    through.clear()
    with publishing(tmp_path / "a" / "b", 2):
        pass
    assert tmp_path not in through


def test_a_replay_that_cannot_be_says_what_to_do(published, tmp_path, monkeypatch):
    (tmp_path / "tensorflow_serving.py").write_text(
        "raise ModuleNotFoundError('none', name='tensorflow_serving')"
    )
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        with pytest.raises(UsageError, match=r"can't be checked: .*pip install 'tfp-cinn\[serv"):
            verify(published)
    with monkeypatch.context() as patch:
        patch.setattr(publish, "_SECONDS", 0.01)
        with pytest.raises(UsageError, match="aren't answered after 0.01 s; export with fewer"):
            verify(published)
    with monkeypatch.context() as patch:
        (tmp_path / "dies.py").write_text("import os; os.abort()")
        patch.setattr(publish.session, "__file__", str(tmp_path / "dies.py"))
        with pytest.raises(UsageError, match=r"the process that loaded it died \(status -6\)"):
            verify(published)


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


class SumOfParts(keras.layers.Layer):
    def call(self, cond):
        return sum(cond.values())


def test_parts_of_a_condition_have_to_name_inputs(tmp_path):
    for parts in (["a b"], ["é"], [""], ["a/b"], ["L", "l"]):
        cond_shape = {part: (2,) for part in parts}
        model = CINN(Chain([GlowCoupling(MLP([4]))]), (4,), SumOfParts(), cond_shape)
        with pytest.raises(UsageError, match=f"cond_shape: the part {parts[0]!r} would be"):
            export_model(model, tmp_path / "m", batch_sizes=[1])
    assert tree(tmp_path) == []


@pytest.mark.long
def test_a_read_only_target_is_left_alone(model, tmp_path, mount):
    folder = mount(tmp_path / "ro", "size=1m")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    with pytest.raises(UsageError, match=r"can't be written \(Read-only file system\)"):
        export_model(model, folder / "digits", batch_sizes=[1], facts=FACTS)
    assert tree(folder) == []


@pytest.mark.long
@pytest.mark.parametrize("kilobytes", [64, 400, 700])
def test_a_full_disk_leaves_the_models_as_they_were(model, tmp_path, mount, kilobytes):
    folder = mount(tmp_path / "small", f"size={kilobytes}k")
    (folder / "digits" / "1").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"digits/2: can't be written \(No space left on device\)"):
        export_model(model, folder / "digits", batch_sizes=[1, 64], facts=FACTS)
    assert tree(folder) == ["digits", "digits/1"]


@pytest.fixture
def mount():
    """Mounts small file systems, where that is allowed."""
    mounted = []

    def mount(folder: pathlib.Path, options: str) -> pathlib.Path:
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, stderr=-3).returncode:
            pytest.skip("no right to mount a file system")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)
