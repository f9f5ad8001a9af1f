"""Conditions unlike those of training are said to be so by the programs, beside the samples."""

import json

import numpy as np
import pytest

from tfp_cinn import tasks
from tfp_cinn.tasks import Arrays, Task
from tfp_cinn.training import train
from tfp_cinn.workdir import Workdir

RNG = np.random.default_rng(0)
LINE = "2 of 3 conditions lie farther from those of training than 99.9 % of them: rows 1, 2;"


@pytest.fixture(scope="module", autouse=True)
def no_more_than_needed():
    """Neither pictures nor judged posteriors."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("measure", "draw_measured", "draw_samples"):
            patch.setattr(Arrays, name, getattr(Task, name))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    x = RNG.normal(size=(600, 2))
    np.savez(folder / "p.npz", x=x, cond=x + 5)
    config = Arrays.default_config()
    config.data.train = str(folder / "p.npz")
    config.model.update({"blocks": 1, "hidden": (8,)})
    config.train.update({"epochs": 1, "steps_per_epoch": 2})
    train(config.to_dict(), folder / "run")
    return Workdir(folder / "run")


@pytest.fixture
def cond(tmp_path):
    np.save(tmp_path / "c.npy", [[5.0, 5.0], [5.0, 50.0], [-5.0, 5.0]])
    return [str(tmp_path / "c.npy")]


def test_sample_says_so_in_a_line_and_in_the_file(run, cond, tmp_path, capsys):
    tasks.sample(run.path, cond, 4, output=tmp_path / "s.npz")
    assert sum(LINE in line for line in capsys.readouterr().out.splitlines()) == 1
    with np.load(tmp_path / "s.npz") as written:
        assert written["x"].shape == (4, 3, 2) and np.isfinite(written["x"]).all()
        assert (written["distance"] > 1).tolist() == [False, True, True]
    tasks.sample(run.path, ["5", "5"], 4, output=tmp_path / "s.npz")
    assert "farther" not in capsys.readouterr().out


def test_a_card_knows_it_too(run, cond, capsys):
    card = json.loads(json.dumps(run.description()))
    for task in (tasks.restore(card), tasks.restore(card | {"task": "somebody's own"})):
        assert (task.condition_distances(np.load(cond[0])) > 1).tolist() == [False, True, True]
        assert LINE in capsys.readouterr().out


def test_evaluate_gives_the_share_of_the_test_conditions(run, capsys):
    share = tasks.evaluate(run.path)["out_of_range"]
    assert share["mean"] < 0.2 and "farther from those of training" in share["meaning"]


def test_a_run_that_goes_on_keeps_what_it_has_measured(run, monkeypatch):
    known = run.description()["condition_range"]
    monkeypatch.setattr(Arrays, "condition_range", None)  # isn't called
    train(run.config(), run.path)
    assert run.description()["condition_range"] == known


def test_a_run_of_before_has_no_distance(run, cond, tmp_path, monkeypatch):
    old = {k: v for k, v in run.description().items() if k != "condition_range"}
    monkeypatch.setattr(Workdir, "description", lambda self: old)
    tasks.sample(run.path, cond, 4, output=tmp_path / "s.npz")
    assert "out_of_range" not in tasks.evaluate(run.path)
    with np.load(tmp_path / "s.npz") as written:
        assert "distance" not in written
