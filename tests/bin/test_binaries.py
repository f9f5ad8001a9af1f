"""The binaries as a user calls them, each in a process of its own."""

import json

import numpy as np
import pytest

from tests.helpers.binaries import call

pytestmark = pytest.mark.slow

SMALL = [
    "--config=configs/digits.py",
    "--config.train.epochs=2",
    "--config.model.blocks=2",
    "--config.model.hidden=(16,)",
]


def complaint(done):
    """The one line on standard error, without what TensorFlow's C++ logs."""
    assert done.returncode not in (0, None)
    assert "Traceback" not in done.stderr
    lines = [
        line
        for line in done.stderr.splitlines()
        if " 00:00:" not in line and "InitializeLog" not in line and "cpu_feature" not in line
    ]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "digits"
    done = call("train", *SMALL, f"--workdir={path}")
    assert done.returncode == 0, done.stderr
    assert "epoch 2/2" in done.stdout
    return path


@pytest.mark.long
def test_evaluate_prints_a_table_and_json_last(workdir):
    done = call("evaluate", f"--workdir={workdir}", "--num_samples=5")
    assert done.returncode == 0, done.stderr
    *table, last = done.stdout.splitlines()
    assert sum("bits/dim" in line for line in table) == 1
    assert not any(line.startswith("{") for line in table)
    result = json.loads(last)
    assert result == json.loads((workdir / "evaluation.json").read_text())
    assert result["num_test"] == 297
    assert 2.0 < result["bits_per_dim"]["mean"] < 4.1  # log2(17) is that of a uniform guess
    assert 0.1 < result["class_accuracy"]["mean"] <= 1.0
    assert result["cnn_accuracy_real"]["mean"] > 0.95
    assert result["samples_per_class"] == 5


@pytest.mark.long
def test_sample_draws_the_same_picture_for_the_same_seed(workdir, tmp_path):
    pictures = []
    for seed, name in ((1, "a.png"), (1, "b.png"), (2, "c.png")):
        arguments = [f"--output={tmp_path / name}", f"--seed={seed}", "--cond=3,7"]
        done = call("sample", f"--workdir={workdir}", "--num_samples=4", *arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().endswith(name)
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_explore_draws_pictures_and_prints_json_last(workdir, tmp_path):
    folder = tmp_path / "new" / "pictures"
    arguments = ["--what=transfer,temperature", f"--output={folder}", "--cond=3,7"]
    done = call("explore", f"--workdir={workdir}", *arguments, "--temperatures=0,0.5,1")
    assert done.returncode == 0, done.stderr
    *paths, last = done.stdout.splitlines()
    assert paths == [str(folder / f"{name}.png") for name in ("transfer", "temperature")]
    assert all((folder / path).read_bytes()[1:4] == b"PNG" for path in paths)
    result = json.loads(last)
    assert result["pictures"] == dict(zip(("transfer", "temperature"), paths, strict=True))
    first, second, third = result["temperature"]["rms_change_from_first"]
    assert first == 0 < second < third


def test_sample_writes_arrays_of_classes_by_name(workdir, tmp_path):
    path = workdir / "dataset.json"
    facts = path.read_text()
    path.write_text(json.dumps(json.loads(facts) | {"class_names": list("abcdefghij")}))
    output = tmp_path / "x.npz"
    arguments = ["--cond=D,7", "--num_samples=4", "--temperature=0.8", f"--output={output}"]
    done = call("sample", f"--workdir={workdir}", *arguments)
    path.write_text(facts)
    assert done.returncode == 0, done.stderr
    with np.load(output) as arrays:
        assert arrays["x"].shape == (2, 4, 8, 8, 1)
        assert arrays["cond"].tolist() == [3, 7]
        assert arrays["temperature"] == 0.8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config=configs/digits.py", "--config.train.epoch=3"], "did you mean"),
        (["--config=configs/none.py"], "no such file"),
        (["--config=configs/digits.py", "--flag=1"], "Unknown command line flag"),
        ([], "--config: expected a value"),
        (["--config=configs/digits.py", "--config.data.name=cats"], "cats is not prepared under"),
        (["--config=configs/digits.py", "--config.train.batch_size=2000"], "has 1350 images"),
    ],
)
def test_train_answers_wrong_input_in_one_line_and_writes_nothing(tmp_path, arguments, message):
    done = call("train", *arguments, f"--workdir={tmp_path / 'new'}")
    text = complaint(done)
    assert message in text
    assert len(text.splitlines()) == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("binary", "arguments", "message"),
    [
        ("sample", ["--cond=11"], "label 11 is out of range: expected 0 to 9"),
        ("sample", ["--cond=cat"], "expected class labels"),
        ("sample", ["--temperature=-1"], "temperature: expected 0 or more"),
        ("sample", ["--output=none/such.png"], "in a folder that exists"),
        ("sample", ["--output=such.pdf"], ".png or a .npz"),
        ("evaluate", ["--idx_dir=nowhere"], "digits"),
        ("explore", ["--what=dreams"], "expected tools of interpolation, transfer"),
        ("explore", ["--what=scales"], "doesn't fit this kind of run"),
        ("explore", ["--temperatures=-1"], "temperatures: expected 0 or more"),
        ("explore", ["--cond=11"], "label 11 is out of range: expected 0 to 9"),
        ("explore", ["--output=/dev/null/pictures"], "can't be written"),
    ],
)
def test_others_answer_wrong_input_in_one_line(workdir, binary, arguments, message):
    text = complaint(call(binary, f"--workdir={workdir}", *arguments))
    assert message in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("binary", ["sample", "evaluate", "explore"])
def test_a_missing_workdir_is_said(binary, tmp_path):
    text = complaint(call(binary, f"--workdir={tmp_path / 'none'}"))
    assert "no such workdir" in text
    assert len(text.splitlines()) == 1
