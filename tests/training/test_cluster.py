import json
import socket
import threading
import time

import pytest

from tfp_cinn import UsageError
from tfp_cinn.training.cluster import Cluster


def environment(cluster, job="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": job, "index": index}})}


def test_workers_are_numbered_and_a_chief_comes_first():
    cluster = Cluster.from_environment(environment({"worker": ["a:1", "b:2"]}, index=1))
    assert cluster == (("a:1", "b:2"), 1)
    assert not cluster.is_chief
    with_chief = {"chief": ["a:1"], "worker": ["b:2", "c:3"]}
    cluster = Cluster.from_environment(environment(with_chief, index=1))
    assert cluster == (("a:1", "b:2", "c:3"), 2)
    assert Cluster.from_environment(environment(with_chief, "chief")).is_chief


@pytest.mark.parametrize(
    "text",
    [
        "worker 0",
        "[]",
        "{}",
        '{"cluster": {"worker": ["a:1"]}}',
        environment({"worker": ["a:1"]}, index=1)["TF_CONFIG"],
        environment({"worker": ["a:1"]}, index=-1)["TF_CONFIG"],
        environment({"worker": ["a:1"]}, "chief")["TF_CONFIG"],
        environment({"worker": ["a"]})["TF_CONFIG"],
        environment({"worker": ["a:http"]})["TF_CONFIG"],
        environment({"worker": ["a:1", "a:1"]})["TF_CONFIG"],
        environment({"worker": ["a:1"], "ps": ["b:1"]})["TF_CONFIG"],
        environment({"worker": 3})["TF_CONFIG"],
    ],
)
def test_a_malformed_variable_is_refused_in_one_line(text):
    with pytest.raises(UsageError, match="TF_CONFIG: expected different host:port") as caught:
        Cluster.from_environment({"TF_CONFIG": text})
    assert "\n" not in str(caught.value)


def test_a_missing_variable_is_refused():
    with pytest.raises(UsageError, match="TF_CONFIG: .* needs this variable .* bin/launch.py"):
        Cluster.from_environment({})


@pytest.fixture
def addresses():
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    found = tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)
    for each in sockets:
        each.close()
    return found


def port(address):
    return int(address.rpartition(":")[2])


class Waiting(threading.Thread):
    """A worker that waits for the others."""

    def __init__(self, addresses, index, seconds=20.0):
        super().__init__(daemon=True)
        self.cluster, self.seconds = Cluster(addresses, index), seconds
        self.error, self.done = None, None
        self.start()

    def run(self):
        try:
            self.cluster.wait_for_all(self.seconds)
        except UsageError as error:
            self.error = str(error)
        self.done = time.monotonic()


def test_all_start_when_the_last_has_come(addresses):
    workers = [Waiting(addresses, 2), Waiting(addresses, 0)]
    time.sleep(0.3)
    assert all(worker.done is None for worker in workers)
    came = time.monotonic()
    workers.append(Waiting(addresses, 1))
    for worker in workers:
        worker.join(20)
        assert worker.error is None
        assert worker.done >= came
    # and the port is free for TensorFlow
    socket.create_server(("127.0.0.1", port(addresses[0]))).close()


def test_a_worker_that_went_and_came_again_is_waited_for(addresses):
    chief = Waiting(addresses, 0)
    gone = Waiting(addresses, 1, seconds=0.3)
    gone.join(20)
    assert "can't be reached" in gone.error
    other = Waiting(addresses, 2)
    time.sleep(0.3)
    assert chief.done is None  # though both others have called
    again = Waiting(addresses, 1)
    for worker in (chief, other, again):
        worker.join(20)
        assert worker.error is None


def test_strangers_do_not_count(addresses):
    chief = Waiting(addresses, 0, seconds=1.0)
    time.sleep(0.2)
    for hello in (
        b"GET / HTTP/1.1\r\n\n",
        b"tfp_cinn worker 1 of 2\n",
        b"tfp_cinn worker 0 of 3\n",
    ):
        with socket.create_connection(("127.0.0.1", port(addresses[0]))) as call:
            call.sendall(hello)
    chief.join(20)
    assert "2 of 3 workers did not come" in chief.error


def test_missing_workers_are_named_in_time(addresses):
    chief, second = Waiting(addresses, 0, 1.0), Waiting(addresses, 2, 3.0)
    for worker in (chief, second):
        worker.join(20)
    first = f"the first of them worker 1 at {addresses[1]}"
    assert f"1 of 3 workers did not come within 1 s, {first}" in chief.error
    assert "or others are missing" in second.error


def test_a_missing_chief_is_named_in_time(addresses):
    worker = Waiting(addresses, 1, 0.5)
    worker.join(20)
    assert f"worker 0 (the chief) at {addresses[0]} can't be reached" in worker.error
    assert "refused" in worker.error


def test_a_taken_port_is_said(addresses):
    with socket.create_server(("", port(addresses[0]))):
        chief = Waiting(addresses, 0, 5.0)
        chief.join(20)
    assert "can't take its port (Address already in use)" in chief.error


def test_one_worker_waits_for_nobody():
    Cluster(("127.0.0.1:1",), 0).wait_for_all(0.0)
