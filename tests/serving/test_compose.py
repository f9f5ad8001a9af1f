"""The committed server files, with what of them can be run without Docker."""

import pathlib
import re
import subprocess

import pytest
import yaml
from google.protobuf import text_format
from stand_in import StandIn
from tensorflow_serving.config import model_server_config_pb2

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
    name = served().name
    with StandIn({name: exported.path.parent}) as stand_in:
        assert healthy(stand_in.rest, SERVICES[kind])
        stand_in.broken = {(name, 1): ("LOADING", "")}
        assert not healthy(stand_in.rest, SERVICES[kind])
        stand_in.reset()
        stand_in.html = True
        assert not healthy(stand_in.rest, SERVICES[kind])
    assert not healthy(stand_in.rest, SERVICES[kind])
    with StandIn({"other": exported.path.parent}) as stand_in:
        assert not healthy(stand_in.rest, SERVICES[kind])


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        ([], "serving"),
        (["MODEL=models/fashion_mnist", "RUN=runs/fashion"], "serving/fashion_mnist"),
        (["MODEL=/data/digits"], "serving/digits"),
        (["MODEL=models/mine", "SERVING=elsewhere"], "elsewhere"),
    ],
)
def test_each_model_of_the_demo_has_server_files_of_its_own(arguments, folder):
    done = subprocess.run(
        ["make", "--dry-run", "demo", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"--server_config={folder}\n" in done.stdout
