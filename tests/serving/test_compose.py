"""The committed server files, with what of them can be run without Docker."""

import pathlib
import re
import socket
import subprocess
import threading

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

ROOT = pathlib.Path(__file__).parents[2]
FILES = {path.name: path.read_text() for path in (ROOT / "serving").iterdir()}
SERVICES = yaml.safe_load(FILES["compose.yaml"])["services"]
CONFIG = text_format.Parse(FILES["models.config"], model_server_config_pb2.ModelServerConfig())
(SERVED,) = CONFIG.model_config_list.config


@pytest.mark.parametrize("kind", SERVICES)
def test_every_path_of_a_flag_is_mounted_and_there(kind):
    service = SERVICES[kind]
    mounts = {volume["target"]: volume["source"] for volume in service["volumes"]}
    flags = dict(flag.split("=") for flag in service["command"])
    files = [value for flag, value in flags.items() if flag.endswith("_file")]
    assert len(files) == 3
    for file in map(pathlib.PurePath, files):
        assert (ROOT / "serving" / mounts[str(file.parent)] / file.name).is_file()
    base = pathlib.PurePath(SERVED.base_path)
    models = re.fullmatch(r"\$\{MODELS:-(.*)\}", mounts[str(base.parent)])[1]
    # Where README and docs/serving.md export to.
    assert (ROOT / "serving" / models / base.name).resolve() == (
        ROOT / "models" / "digits"
    ).resolve()
    ports = {port.rpartition(":")[0] for port in service["ports"]}
    assert ports == {"127.0.0.1:8500", "127.0.0.1:8501"}
    assert f"--profile {kind} up --wait" in FILES["compose.yaml"]


@pytest.mark.parametrize(("state", "healthy"), [("AVAILABLE", True), ("LOADING", False)])
def test_the_health_check_tells_whether_the_model_is_served(state, healthy):
    (check,) = {tuple(service["healthcheck"]["test"]) for service in SERVICES.values()}
    command, program, flag, script = check
    assert (command, program) == ("CMD", "bash") and f"/{SERVED.name} " in script
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(f'HTTP/1.0 200 OK\r\n\r\n{{"state": "{state}"}}'.encode())

        threading.Thread(target=answer).start()
        # Compose reads a dollar as the start of a variable.
        here = script.replace("$$", "$").replace("8501", str(server.getsockname()[1]))
        done = subprocess.run([program, flag, here], timeout=10)
    assert (done.returncode == 0) == healthy


def test_one_name_is_all_that_another_model_has_to_change():
    """As docs/serving.md says."""
    assert {name: text.count("digits") for name, text in FILES.items() if "digits" in text} == {
        "compose.yaml": 1,
        "models.config": 2,
    }
