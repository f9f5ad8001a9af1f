"""A version appears whole or not at all."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from exporting import FACTS, tree

from tfp_cinn import UsageError
from tfp_cinn.export import BATCH_SIZES, export_model, run, verify
from tfp_cinn.export.publish import choose_version, publishing
from tfp_cinn.export.session import WARM_UP


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


@pytest.mark.parametrize(
    "name",
    [
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        "fingerprint.pb",
        "model_card.json",
        "batching_params.pbtxt",
        str(WARM_UP),
    ],
)
def test_damaged_files_are_found(copy, name):
    file = copy / name
    content = file.read_bytes()
    for damaged in (
        content[: len(content) // 2],
        b"",
        content[:-5] + bytes([content[-5] ^ 16]) + content[-4:],
    ):
        file.write_bytes(damaged)
        with pytest.raises(UsageError, match=f"{name} is damaged; export the model again"):
            verify(copy)
    file.unlink()
    with pytest.raises(UsageError, match=f"{name} is missing"):
        verify(copy)


def test_foreign_files_and_folders_are_found(copy, tmp_path):
    (copy / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="notes.txt doesn't belong to the model"):
        verify(copy)
    with pytest.raises(UsageError, match="not an exported model"):
        verify(tmp_path)


def cut(path, name):
    file = path / name
    file.write_bytes(file.read_bytes()[:-300])


def flip(path, name):
    file = path / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: shutil.rmtree(p / "variables"), "can't be served"),
        (lambda p: cut(p, "variables/variables.data-00000-of-00001"), "can't be served"),
        (lambda p: flip(p, "variables/variables.data-00000-of-00001"), "can't be served"),
        (lambda p: cut(p, "saved_model.pb"), "can't be served"),
        (lambda p: (p / WARM_UP).write_bytes(b""), "holds no records"),
        (lambda p: cut(p, WARM_UP), "can't be read"),
    ],
)
def test_what_the_server_could_not_load_is_not_published(
    model, tmp_path, monkeypatch, damage, message
):
    """Damage before the checksums are made, which only the loader can notice."""
    honest = run.write_checksums
    monkeypatch.setattr(run, "write_checksums", lambda path: (damage(path), honest(path)))
    with pytest.raises(UsageError, match=message) as caught:
        export_model(model, tmp_path / "models" / "digits", batch_sizes=[1], facts=FACTS)
    assert "\n" not in str(caught.value)
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
    for name in ("1", "007", "x9", ".8-ab.tmp"):
        (tmp_path / name).mkdir()
    assert choose_version(tmp_path, None) == 8
    assert choose_version(tmp_path, 3) == 3
    for version in (1, 7):  # '007' is version 7 to a server
        with pytest.raises(UsageError, match="exists already and is kept; .* next is 8"):
            choose_version(tmp_path, version)
    for version in (0, -1, 2**63):
        with pytest.raises(UsageError, match="version: expected a whole number from 1"):
            choose_version(tmp_path, version)
    for name in ("7", "a:b", "with space", "é"):
        with pytest.raises(UsageError, match="expected a folder MODELS/NAME"):
            choose_version(tmp_path / name, None)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="expected a folder of versions, it is a file"):
        choose_version(tmp_path / "file", None)


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


@pytest.mark.parametrize("sizes", [[], [0], [4, 1], [2, 2], ["a"], [1.5, "x"]])
def test_batch_sizes_are_checked(model, tmp_path, sizes):
    with pytest.raises(UsageError, match="batch_sizes: expected increasing whole numbers"):
        export_model(model, tmp_path / "digits", batch_sizes=sizes)
    assert tree(tmp_path) == []


def test_a_read_only_target_is_left_alone(model, tmp_path, mount):
    folder = mount(tmp_path / "ro", "size=1m")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    with pytest.raises(UsageError, match=r"can't be written \(Read-only file system\)"):
        export_model(model, folder / "digits", batch_sizes=[1], facts=FACTS)
    assert tree(folder) == []


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


SLOW_EXPORT = """
import sys, time
from tfp_cinn import app
from tfp_cinn.export.publish import publishing
import pathlib

def main(_):
    with publishing(pathlib.Path(sys.argv[0]).parent / "models", 1) as path:
        (path / "part").write_text("x")
        print("writing", flush=True)
        time.sleep(60)

app.run(main)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_export_leaves_nothing(tmp_path, number):
    script = tmp_path / "script.py"
    script.write_text(SLOW_EXPORT)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert process.stdout.readline() == "writing\n"
    process.send_signal(number)
    start = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - start < 20
    assert process.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    assert "Traceback" not in errors
    assert tree(tmp_path) == ["script.py"]
