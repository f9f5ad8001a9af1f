"""Start several workers on this machine, to try --strategy=multi_worker before it needs a cluster.

python bin/launch.py --workers=2 -- bin/train.py --config=digits --workdir=runs/digits

Each worker is the command with --strategy=multi_worker added and its own TF_CONFIG. Of all but the
first, only errors are shown. Ctrl-C and SIGTERM go to all. The exit status is 0, or that of the
first of them, in their order, that failed.
"""

# Imports no TensorFlow, which would double the time until workers start.
import argparse
import json
import os
import signal
import socket
import subprocess
import sys


def free_addresses(count):
    """Return addresses on this machine that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    finally:
        for each in sockets:
            each.close()


def main():
    parser = argparse.ArgumentParser(usage="launch.py --workers=N -- bin/train.py FLAGS")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    addresses, workers = free_addresses(given.workers), []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: [worker.send_signal(number) for worker in workers])
    for index in range(given.workers):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        worker = subprocess.Popen(
            [sys.executable, *given.command, "--strategy=multi_worker"],
            env={**os.environ, "TF_CONFIG": json.dumps(task)},
            stdout=subprocess.DEVNULL if index else None,
            start_new_session=True,  # a terminal's Ctrl-C reaches it once, from here
        )
        workers.append(worker)
    # When one fails, TensorFlow ends the others.
    codes = [worker.wait() for worker in workers]
    return next((abs(code) + 128 * (code < 0) for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
