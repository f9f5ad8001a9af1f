import os

import numpy as np
import pytest
from matplotlib import image

from tfp_cinn import CINN, UsageError
from tfp_cinn.bijectors import GlowCoupling
from tfp_cinn.networks import MLP
from tfp_cinn.tasks.class_images import sample as sampling
from tfp_cinn.tasks.class_images.sample import sample
from tfp_cinn.workdir import Workdir

NAMES = ["T-shirt/top", "Trouser", "Ankle boot", *map(str, "abcdefg")]


def drawn(workdir, path, **kwargs):
    sample(workdir.path, output=path, **kwargs)
    with np.load(path) as arrays:
        return dict(arrays)


def test_npz_holds_samples_in_gray_levels(workdir, tmp_path):
    got = drawn(workdir, tmp_path / "x.npz", cond=[3, 7], num_samples=300, temperature=0.5, seed=4)
    assert got["x"].shape == (2, 300, 8, 8, 1) and got["x"].dtype == np.float32
    assert got["cond"].tolist() == [3, 7] and got["cond"].dtype == np.int32
    assert (got["temperature"], got["seed"]) == (0.5, 4)
    # The model is N(4.884 + 0.5, 6.017^2) in every pixel, of which there are 38,400.
    assert abs(got["x"].mean() - 5.38) < 0.1
    assert abs(got["x"].std() - 6.02 * 0.5) < 0.1
    assert sorted(os.listdir(tmp_path)) == ["run", "x.npz"]


def test_samples_of_a_class_depend_on_the_seed_but_not_on_other_classes(workdir, tmp_path):
    def x(**kwargs):
        return drawn(workdir, tmp_path / "x.npz", num_samples=5, **kwargs)["x"]

    both = x(cond=[3, 7], seed=1)
    np.testing.assert_array_equal(x(cond="7", seed=1)[0], both[1])
    assert x(seed=1).shape[0] == 10
    assert np.abs(both[0] - both[1]).max() > 1
    assert np.abs(x(cond=[3], seed=2)[0] - both[0]).max() > 1


def test_chunks_of_samples_differ(workdir, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "_CHUNK", 2)
    x = drawn(workdir, tmp_path / "x.npz", cond=[0], num_samples=5)["x"][0]
    assert len(np.unique(x.reshape(5, -1), axis=0)) == 5


def test_one_class_is_drawn_as_a_grid_and_several_as_rows(workdir, tmp_path):
    def shape(**kwargs):
        path = sample(workdir.path, output=tmp_path / "x.png", **kwargs)
        return image.imread(path).shape[:2]

    height, width = shape(cond=[3], num_samples=60)
    assert 0.8 < height / width < 1.2
    height, width = shape(cond=[3, 4], num_samples=30)
    assert height / width < 0.2


def test_default_output_is_in_the_workdir(workdir, capsys):
    assert sample(workdir.path, num_samples=1) == workdir / "samples.png"
    assert capsys.readouterr().out.strip() == str(workdir / "samples.png")


def test_classes_by_name(workdir, edit, tmp_path):
    edit("dataset.json", class_names=NAMES)
    cond = [" ankle BOOT", "trouser", "0", 9]
    assert drawn(workdir, tmp_path / "x.npz", cond=cond)["cond"].tolist() == [2, 1, 0, 9]
    with pytest.raises(UsageError, match="0 to 9 or T-shirt/top, Trouser.*'sock'"):
        sample(workdir.path, cond=["sock"])


def test_a_run_without_class_names_goes_by_numbers(workdir, edit, tmp_path):
    edit("dataset.json", class_names=None)
    assert drawn(workdir, tmp_path / "x.npz", cond=["4"])["cond"].tolist() == [4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 0}, "num_samples: expected 1 or more, got 0"),
        ({"cond": []}, "cond: expected one class or more"),
        ({"cond": [2**40]}, "label 1099511627776 is out of range: expected 0 to 9"),
        ({"cond": ["-1"]}, "label -1 is out of range"),
        ({"cond": [3.7]}, "expected class labels 0 to 9, got '3.7'"),
        ({"temperature": float("nan")}, "temperature: expected 0 or more"),
        ({"temperature": float("inf")}, "temperature: expected 0 or more"),
        ({"temperature": -0.1}, "temperature: expected 0 or more"),
        ({"seed": -1}, "seed: expected"),
        ({"seed": 2**63}, "seed: expected"),
        ({"output": "x.jpg"}, ".png or a .npz"),
        ({"output": "no/such/x.npz"}, "in a folder that exists"),
        ({"num_samples": 501, "cond": [1, 2]}, "use a .npz file"),
        ({"num_samples": 10_001, "cond": [1]}, "use a .npz file"),
    ],
)
def test_wrong_arguments_are_said_before_the_model_is_loaded(
    workdir, monkeypatch, arguments, message
):
    monkeypatch.setattr(Workdir, "load_model", lambda _: pytest.fail("loaded the model"))
    with pytest.raises(UsageError) as caught:
        sample(workdir.path, **arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["name", "num_classes", "levels"])
def test_a_lacking_field_is_said(workdir, edit, key):
    edit("dataset.json", **{key: None})
    with pytest.raises(UsageError, match=f"dataset.json: lacks the field '{key}'"):
        sample(workdir.path)


@pytest.mark.parametrize("fields", [{"num_classes": "ten"}, {"class_names": ["a"]}])
def test_an_unsuitable_field_is_said(workdir, edit, fields):
    edit("dataset.json", **fields)
    with pytest.raises(UsageError, match="dataset.json"):
        sample(workdir.path)


def test_a_failed_write_leaves_the_old_file_and_no_other(workdir, tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    path.write_text("old")

    def full(scratch, **_):
        scratch.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(UsageError, match="can't be written .No space left"):
        sample(workdir.path, output=path)
    assert path.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["run", "x.npz"]


def test_samples_that_are_not_numbers_are_said(workdir, tmp_path):
    with pytest.raises(UsageError, match="10 of 10 samples hold NaN or infinite pixels"):
        sample(workdir.path, num_samples=1, temperature=1e38, output=tmp_path / "x.npz")
    assert not (tmp_path / "x.npz").exists()


def test_a_model_of_other_conditions_is_refused():
    model = CINN(GlowCoupling(MLP([4])), (2,), cond_shape=(3,))
    with pytest.raises(UsageError, match="class labels"):
        sampling.draw(model, [0], 1, 1.0, 0)
