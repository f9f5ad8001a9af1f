"""Stopping a run from outside, without losing it."""

from __future__ import annotations

import signal
import threading

import keras

__all__ = ["Interrupted", "StopOnSignal"]


class Interrupted(KeyboardInterrupt):
    """A run was stopped by Ctrl-C or SIGTERM, after a checkpoint.

    Attributes:
        status: the exit status by convention, 128 plus the signal's number.
    """

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


class StopOnSignal(keras.callbacks.Callback):
    """Ends training after the step during which SIGINT or SIGTERM came.

    Raises `Interrupted` out of `fit`; a second signal does what it would do without this callback.
    """

    def __init__(self):
        super().__init__()
        self._received: int | None = None
        self._previous: dict[int, object] = {}

    def on_train_begin(self, logs=None):
        """Takes the signals over."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._receive)

    def _receive(self, number, frame):
        self._received = number
        self.give_back()

    def give_back(self):
        """Hands the signals back to whoever had them before."""
        while self._previous:
            signal.signal(*self._previous.popitem())

    def on_train_batch_end(self, batch, logs=None):
        """Stops, if a signal came."""
        if self._received is not None:
            name = signal.Signals(self._received).name
            raise Interrupted(f"stopped by {name}", 128 + self._received)
