"""One clear line for what can be wrong with a server, and requests made again."""

import contextlib
import json
import math
import socket
import threading

import numpy as np
import pytest

from tests.helpers.small_server import SmallServer
from tfp_cinn import UsageError
from tfp_cinn.client import connect

REQUEST = {"z": np.zeros((1, 64), np.float32), "cond": [0]}


def complaint(client, request=REQUEST):
    with pytest.raises(UsageError) as caught:
        client.predict("decode", request)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 700
    return text


@contextlib.contextmanager
def listener(reply):
    """A port that sends these bytes for whatever comes, or keeps silent if there are none."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.recv(65536)
                    if reply is not None:
                        connection.sendall(reply)
                        connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def test_nobody_listens(ask):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = complaint(ask(server=address))
    assert text.startswith(f"{address}, model 'digits': no server answers, or it is overloaded (UN")
    assert "refused" in text and "check that it runs, the address, the port" in text


def test_nobody_answers_in_time(ask):
    with listener(None) as address:
        text = complaint(ask(server=address, timeout=0.5))
    assert "no answer in time" in text and "give a longer timeout" in text


def test_the_port_is_that_of_the_other_protocol(server, ask, protocol):
    other = server.addresses["rest" if protocol == "grpc" else "grpc"]
    assert "the port (usually 8500 for gRPC, 8501 for REST)" in complaint(ask(server=other))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"model": "cats"}, "model 'cats': not served (NOT_FOUND: Servable not found"),
        ({"version": 7}, "model 'digits' version 7: not served (NOT_FOUND"),
        ({"label": "x"}, "model 'digits' label 'x': the server refuses the request (INVALID_ARG"),
    ],
)
def test_what_is_not_served_is_named(ask, choice, message):
    assert message in complaint(ask(**choice))


def test_a_model_of_another_program_is_refused(foreign, protocol):
    with (
        SmallServer(foreign, "foreign") as server,
        connect(server.addresses[protocol], protocol, model="foreign") as client,
    ):
        text = complaint(client)
    assert 'signature key "card" not found' in text
    assert "check the label, and that bin/export.py exported the model" in text


def test_requests_are_made_again_while_the_server_is_unavailable(server, ask):
    """Also one of more than 256 KiB, which gRPC by default doesn't keep for another attempt."""

    def change(outputs):
        if "card" not in outputs:
            return outputs
        card = json.loads(outputs["card"][0]) | {"batch_sizes": [2000]}
        return {"card": np.array([json.dumps(card).encode()], object)}

    server.change = change
    server.failures = [("UNAVAILABLE", "starting")] * 2
    client = ask()
    client.card()
    server.failures = [("UNAVAILABLE", "starting")]
    client.predict("decode", {"z": np.zeros((2000, 64)), "cond": np.zeros(2000, int)})
    assert server.asked == ["card"] * 3 + ["decode"] * 2


def test_attempts_come_to_an_end(server, ask):
    server.failures = [("UNAVAILABLE", "The batch scheduling queue to which this is full")] * 99
    assert "or it is overloaded (UNAVAILABLE: The batch sched" in complaint(ask())
    assert len(server.asked) == 5


def test_a_refusal_is_not_tried_again(server, ask):
    server.failures = [("INVALID_ARGUMENT", "Task size 60 is larger than maximum")] * 99
    assert "refuses the request (INVALID_ARGUMENT: Task size 60" in complaint(ask())
    assert len(server.asked) == 1


def test_a_message_beyond_the_servers_limit(exported):
    with (
        SmallServer(exported.path, max_bytes=5000) as server,
        connect(server.addresses["grpc"], model="digits") as client,
    ):
        text = complaint(client, {"z": np.full((60, 64), 0.1), "cond": np.zeros(60, int)})
    assert "a message is too large" in text and "ask for fewer rows" in text


def http(status, body, kind="application/json"):
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (http("200 OK", "<html>", "text/html"), "something else than TensorFlow Serving answers"),
        (http("200 OK", '{"outputs": 3}'), "something else than TensorFlow Serving answers"),
        (http("200 OK", '{"outputs": []}'), "expected an answer of 1 rows of card string [N]"),
        (http("302 Found", ""), "something else than TensorFlow Serving answers (HTTP 302"),
        (http("404 Not Found", "<html>"), "something else than TensorFlow Serving answers (HTTP 4"),
        (b"\x00\xff\x00", "no server answers"),
    ],
)
def test_odd_answers_by_http(reply, message):
    with listener(reply) as address, connect(address, "rest", model="m") as client:
        assert message in complaint(client)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"protocol": "http"}, "protocol: expected one of grpc, rest, got 'http'"),
        ({"server": "http://localhost:8501"}, "server: expected host:port"),
        ({"server": "localhost:99999"}, "server: expected host:port"),
        ({"model": ""}, "model: expected the name"),
        ({"version": 1, "label": "canary"}, "either a version or a label"),
        ({"version": 0}, "version: expected a whole number from 1, got 0"),
        ({"timeout": math.nan}, "timeout: expected seconds, more than 0, got nan"),
    ],
)
def test_wrong_arguments_are_said_at_once(arguments, message):
    with pytest.raises(UsageError, match=message):
        connect(**{"server": "localhost:8500", "model": "digits"} | arguments)
