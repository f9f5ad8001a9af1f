"""`bin/client.py` as a user calls it."""

import pytest

from tests.helpers.binaries import start
from tests.helpers.small_server import SmallServer

pytestmark = pytest.mark.long


def test_the_same_picture_comes_by_grpc_by_rest_and_without_a_server(exported, tmp_path):
    with SmallServer(exported.path) as server:
        draw = ["--cond=7,three", "--num_samples=40", "--temperature=0.8", "--seed=3"]
        ways = {
            "grpc": [f"--server={server.addresses['grpc']}", "--model=digits"],
            "rest": [f"--server={server.addresses['rest']}", "--model=digits", "--protocol=rest"],
            "local": [f"--saved_model={exported.path.parent}"],
            "tls": [f"--server={server.addresses['grpc']}", "--model=digits", "--tls"],
        }
        # At once, since most of the time goes into starting.
        processes = {
            name: start("client", *way, *draw, f"--output={tmp_path / name}.png")
            for name, way in ways.items()
        }
        done = {name: (*p.communicate(timeout=300), p.returncode) for name, p in processes.items()}
    stdout, stderr, status = done.pop("tls")
    assert status == 2 and not stdout and "Traceback" not in stderr
    # gRPC writes nothing of its own.
    (line,) = [text for text in stderr.splitlines() if "client.py" in text or "SSL" in text]
    assert line.startswith("bin/client.py: 127.0.0.1:") and "whether it wants TLS" in line
    for name, (stdout, stderr, status) in done.items():
        assert status == 0, stderr
        asked, latency, path = stdout.splitlines()
        assert "version 1" in asked and "2 requests, 80 rows" in latency
        assert path == f"{tmp_path / name}.png"
    pictures = [(tmp_path / f"{name}.png").read_bytes() for name in done]
    assert pictures[0] == pictures[1] == pictures[2]
