"""Starts several workers on this machine, to try --strategy=multi_worker before it needs a cluster.

python bin/launch.py --workers=2 -- bin/train.py --config=configs/digits.py --workdir=runs/digits

Each worker is the command with --strategy=multi_worker added and its own TF_CONFIG. What the chief
writes is shown; of another worker, its last lines, if it fails. When one fails all others end, and
the exit status is that of the first that failed. Ctrl-C and SIGTERM go to all workers.
"""

# Not through tfp_cinn.cli.app: importing TensorFlow here would double the time until workers start.
import argparse
import collections
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

_PATIENCE = 60.0  # seconds for workers to end by themselves, and again after SIGTERM
_LINES = 20


class Worker:
    """A process of the run, and the end of what it wrote."""

    def __init__(self, command, addresses, index):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        shown = {} if index == 0 else {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.index, self.lines = index, collections.deque(maxlen=_LINES)
        # In a session of its own: a terminal's Ctrl-C reaches it once, from here.
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "TF_CONFIG": json.dumps(config)},
            start_new_session=True,
            text=True,
            **shown,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        if self.process.stdout is not None:
            self.lines.extend(self.process.stdout)

    def status(self):
        """Exit status as a shell would have it, None while it runs."""
        code = self.process.poll()
        return 128 - code if code is not None and code < 0 else code

    def show(self):
        """Prints its last lines."""
        self._reader.join(1.0)
        for line in self.lines:
            print(f"worker {self.index}: {line}", end="", file=sys.stderr)

    def send(self, number):
        """Sends it a signal, if it runs."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)


def free_addresses(count):
    """Addresses on this machine that nobody listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return ["{}:{}".format(*each.getsockname()) for each in sockets]


def wait(workers):
    """Waits for all to end; returns the first that failed, None if none did."""
    failed, since, urged = None, 0.0, 0
    while any(worker.status() is None for worker in workers):
        failed = failed or next((worker for worker in workers if worker.status()), None)
        if failed and not since:
            since = time.monotonic()
        if failed and time.monotonic() - since > _PATIENCE * (urged + 1):
            for worker in workers:
                worker.send(signal.SIGKILL if urged else signal.SIGTERM)
            urged += 1
        time.sleep(0.1)
    return failed or next((worker for worker in workers if worker.status()), None)


def main():
    parser = argparse.ArgumentParser(usage="launch.py --workers=N -- bin/train.py FLAGS")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    if arguments.workers < 1:
        parser.error(f"--workers: expected at least 1, got {arguments.workers}")
    command = [sys.executable, *arguments.command, "--strategy=multi_worker"]
    addresses = free_addresses(arguments.workers)
    workers = []

    received = []

    def forward(number, frame):
        received.append(number)
        for worker in workers:
            worker.send(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    workers += [Worker(command, addresses, index) for index in range(arguments.workers)]
    failed = wait(workers)
    if failed is None:
        return 0
    if received:
        name = signal.Signals(received[0]).name
        print(f"launch.py: stopped by {name}; all workers have ended", file=sys.stderr)
        return 128 + received[0]
    failed.show()
    how = failed.process.returncode
    how = f"was ended by {signal.Signals(-how).name}" if how < 0 else f"failed with status {how}"
    print(f"launch.py: worker {failed.index} {how}; all have ended", file=sys.stderr)
    return failed.status()


if __name__ == "__main__":
    sys.exit(main())
