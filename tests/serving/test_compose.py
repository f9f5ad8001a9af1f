"""The committed server files, with what of them can be run without Docker."""

import pathlib
import re
import subprocess

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tests.helpers.small_server import SmallServer

ROOT = pathlib.Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "serving" / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def served():
    """The only model of `models.config`."""
    text = (ROOT / "serving" / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    return model


@pytest.mark.parametrize("kind", SERVICES)
def test_every_path_of_a_flag_is_mounted_and_there(kind):
    mounts = {volume["target"]: volume["source"] for volume in SERVICES[kind]["volumes"]}
    flags = dict(flag.split("=") for flag in SERVICES[kind]["command"])
    files = [value for flag, value in flags.items() if flag.endswith("_file")]
    assert len(files) == 3
    for file in map(pathlib.PurePath, files):
        assert (ROOT / "serving" / mounts[str(file.parent)] / file.name).is_file()
    base = pathlib.PurePath(served().base_path)
    models = re.fullmatch(r"\$\{MODELS:-(.*)\}", mounts[str(base.parent)])[1]
    # Where the README and the Makefile export to.
    assert (ROOT / "serving" / models / base.name).resolve() == (
        ROOT / "models" / "digits"
    ).resolve()


def healthy(address, service):
    program, *arguments, script = service["healthcheck"]["test"][1:]
    assert "8501" in script and f"/{served().name} " in script
    done = subprocess.run(
        # Compose reads a dollar as the start of a variable.
        [program, *arguments, script.replace("$$", "$").replace("8501", address.split(":")[1])],
        timeout=10,
        stderr=subprocess.DEVNULL,
    )
    return done.returncode == 0


@pytest.mark.parametrize("kind", SERVICES)
def test_the_health_check_tells_whether_the_model_is_served(exported, kind):
    assert SERVICES[kind]["healthcheck"]["test"][:2] == ["CMD", "bash"]
    with SmallServer(exported.path, served().name) as server:
        assert healthy(server.addresses["rest"], SERVICES[kind])
    assert not healthy(server.addresses["rest"], SERVICES[kind])
    with SmallServer(exported.path, "other") as server:
        assert not healthy(server.addresses["rest"], SERVICES[kind])


def test_one_name_is_all_that_another_model_has_to_change():
    """As docs/serving.md says."""
    files = {path.name: path.read_text() for path in (ROOT / "serving").iterdir()}
    assert {name: text.count("digits") for name, text in files.items() if "digits" in text} == {
        "compose.yaml": 1,
        "models.config": 2,
    }
