"""The Python of README and docs, and the commands for serving, work when pasted."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import yaml

from tests.helpers.small_server import SmallServer
from tfp_cinn import tasks

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SERVING_PAGE = (ROOT / "docs/serving.md").read_text()


def python_of(text):
    return re.findall(r"```python\n(.*?)```", text, flags=re.S)


BLOCKS = python_of(README)
(SERVING,) = re.findall(r"answered requests\n.*?```sh\n(.*?)```", SERVING_PAGE, flags=re.S)
SMALL = " --config.train.epochs=1 --config.model.blocks=2 '--config.model.hidden=(16,)'"


@pytest.mark.slow
def test_the_first_example_trains_a_model_that_others_use(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(BLOCKS[0], names)
    assert names["x"].shape == (8, 2, 8, 8, 1)
    assert np.all(np.isfinite(names["nats"]))
    history = names["model"].history.history["nats_per_dim"]
    assert history[-1] < history[0] - 0.3
    assert (tmp_path / "digits.keras").exists()
    names["cond"] = [3, 7]
    exec(BLOCKS[1], names)
    assert names["d"].batch_shape == (2,)


def test_the_plain_tfp_example_has_gradients_for_all_weights():
    names = {}
    exec(BLOCKS[2], names)
    assert len(names["gradients"]) == 16
    assert all(g is not None for g in names["gradients"])


@pytest.mark.parametrize("page", ["extending", "arrays"])
def test_a_page_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tasks.task, "_TASKS", dict(tasks.task._TASKS))
    names = {"__name__": page}
    for block in python_of((ROOT / f"docs/{page}.md").read_text()):
        exec(block, names)


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_configs_that_are_named_exist():
    for name in re.findall(r"`(\w+\.py)`", (ROOT / "docs/results.md").read_text()):
        assert (ROOT / "tfp_cinn/configs" / name).exists(), name


@pytest.mark.slow
def test_the_exporting_example_answers(exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"model": exported.model}
    exec(python_of(SERVING_PAGE)[0], names)
    assert names["x"].shape == (1, 8, 8, 1) and np.isfinite(names["x"]).all()


@pytest.fixture
def checkout(tmp_path):
    """A folder like a checkout of the repository; returns what starts a command in it."""
    for name in ("bin", "serving"):
        (tmp_path / name).symlink_to(ROOT / name)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "python").symlink_to(sys.executable)
    # A stand-in for Docker, which says where it was asked for what.
    (programs / "docker").write_text('#!/bin/sh\necho "$PWD: $*"\n')
    (programs / "docker").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }

    def start(command):
        pipe = subprocess.PIPE
        return subprocess.Popen(
            ["bash", "-c", command], cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe,
            text=True,
        )  # fmt: skip

    return start


def output(process):
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    return stdout


@pytest.mark.long
def test_the_commands_for_serving_fit_each_other(checkout, tmp_path):
    train, export, docker, client = SERVING.replace("\\\n", " ").splitlines()
    output(checkout(train + SMALL))
    output(checkout(export))
    folder, asked = output(checkout(docker)).strip().split(": ")
    assert pathlib.Path(folder).name == "serving"
    words = asked.split()
    assert words[:2] == ["compose", "--profile"] and words[3:] == ["up", "--wait"]
    compose = yaml.safe_load((tmp_path / "serving" / "compose.yaml").read_text())
    (service,) = (s for s in compose["services"].values() if words[2] in s["profiles"])
    assert "healthcheck" in service  # or there would be nothing to wait for
    ports = {port.rpartition(":")[0] for port in service["ports"]}
    assert ports == {"127.0.0.1:8500", "127.0.0.1:8501"}

    # As the text below the commands has it.
    by_grpc, by_rest = "--server=localhost:8500", "--server=localhost:8501 --protocol=rest"
    by_none = "--saved_model=models/digits"
    assert by_grpc in client and "--model=digits" in shlex.split(client)
    assert f"`{by_rest}`" in SERVING_PAGE.replace("\n", " ") and f"`{by_none}`" in SERVING_PAGE
    with SmallServer(tmp_path / "models" / "digits" / "1") as server:
        grpc, rest = server.addresses["grpc"], server.addresses["rest"]
        addresses = {"localhost:8500": grpc, "localhost:8501": rest}
        commands = {
            "sevens.png": client,
            "rest.png": client.replace(by_grpc, by_rest),
            "none.png": client.replace(by_grpc, by_none).replace("--model=digits", ""),
        }
        processes = []
        for name, command in commands.items():
            for usual, address in addresses.items():
                command = command.replace(usual, address)
            processes.append(checkout(command.replace("sevens.png", name)))
        for process in processes:
            output(process)
    first, *others = [(tmp_path / name).read_bytes() for name in commands]
    assert others == [first, first]
