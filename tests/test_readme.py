"""The Python of README and docs works when pasted, and so do README's and the server's commands."""

import pathlib
import re
import shlex
import signal
import sys

import numpy as np
import pytest

from tests.helpers.small_server import SmallServer
from tfp_cinn import tasks
from tfp_cinn.cli import command

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SERVING_PAGE = (ROOT / "docs/serving.md").read_text()


def python_of(text):
    return re.findall(r"```python\n(.*?)```", text, flags=re.S)


(TRAINING,) = python_of(README)
DISTRIBUTION, PLAIN = python_of((ROOT / "docs/distribution.md").read_text())


def test_the_first_example_trains_a_model_that_others_use(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(TRAINING.replace("epochs=20", "epochs=3").replace("range(8)", "range(2)"), names)
    assert names["x"].shape == (8, 2, 8, 8, 1)
    assert np.all(np.isfinite(names["nats"]))
    history = names["model"].history.history["nats_per_dim"]
    assert history[-1] < history[0] - 0.3
    assert (tmp_path / "digits.keras").exists()
    names["cond"] = [3, 7]
    exec(DISTRIBUTION, names)
    assert names["d"].batch_shape == (2,)


def test_the_plain_tfp_example_has_gradients_for_all_weights():
    names = {}
    exec(PLAIN, names)
    assert len(names["gradients"]) == 16
    assert all(g is not None for g in names["gradients"])


@pytest.mark.long
@pytest.mark.parametrize("page", ["extending", "arrays"])
def test_a_page_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tasks.task, "_TASKS", dict(tasks.task._TASKS))
    names = {"__name__": page}
    for block in python_of((ROOT / f"docs/{page}.md").read_text()):
        exec(block, names)


def test_the_exporting_example_answers(exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"model": exported.model}
    exec(python_of(SERVING_PAGE)[0], names)
    assert names["x"].shape == (1, 8, 8, 1) and np.isfinite(names["x"]).all()


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_configs_that_are_named_exist():
    for name in re.findall(r"`(\w+\.py)`", (ROOT / "docs/results.md").read_text()):
        assert (ROOT / "tfp_cinn/configs" / name).exists(), name


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command line `tfp-cinn VERB FLAGS` in a new folder, in this process."""
    monkeypatch.chdir(tmp_path)
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]

    def run(line):
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        command.main()

    yield run
    for number, handler in handlers:
        signal.signal(number, handler)


@pytest.mark.long
def test_the_commands_for_arrays_fit_each_other(run):
    rng = np.random.RandomState(0)
    cond = rng.randn(2000, 2)
    np.savez("mine.npz", x=cond @ rng.randn(2, 3) + rng.randn(2000, 3), cond=cond)
    np.save("observed.npy", cond[:2])
    (section,) = re.findall(r"## Your own x and c\n(.*?)\n## ", README, flags=re.S)
    lines = re.findall(r"^    (tfp-cinn [^#\n]*)", section, flags=re.M)
    train, evaluate, sample, export, client = lines
    run(f"{train} --config.train.epochs=1 --config.model.blocks=1 '--config.model.hidden=(8,)'")
    run(evaluate)
    for draw in (sample, export, client):
        run(draw)
        if draw != export:
            with np.load("posterior.npz") as arrays:
                assert arrays["x"].shape == (1000, 2, 3)
            pathlib.Path("posterior.npz").unlink()


@pytest.mark.long
def test_the_commands_for_serving_fit_each_other(run):
    (block,) = re.findall(r"answered requests\n.*?```sh\n(.*?)```", SERVING_PAGE, flags=re.S)
    train, export, _, client = block.replace("\\\n", " ").splitlines()
    run(f"{train} --config.train.epochs=1 --config.model.blocks=1 '--config.model.hidden=(8,)'")
    run(export)
    # As the text below the commands has it.
    by_grpc, by_none = "--server=localhost:8500 --model=digits", "--saved_model=models/digits"
    assert f"`{by_none}`" in SERVING_PAGE
    pictures = []
    with SmallServer(pathlib.Path("models/digits/1").resolve()) as server:
        for line in (client, client.replace(by_grpc, by_none)):
            run(line.replace("localhost:8500", server.address))
            pictures.append(pathlib.Path("sevens.png").read_bytes())
        assert server.asked == ["card", "sample", "log_prob"]
    assert pictures[0] == pictures[1]
