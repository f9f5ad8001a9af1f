"""Stopping a run by a signal, without losing it."""

from __future__ import annotations

import signal
import threading

import keras

from tfp_cinn.replicas import Ballot
from tfp_cinn.training.position import Position

__all__ = ["Interrupted", "StopOnSignal"]


class Interrupted(KeyboardInterrupt):
    """A run was stopped by Ctrl-C or SIGTERM, after a checkpoint.

    Attributes:
        status: the conventional exit status, 128 plus the signal's number.
    """

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


class StopOnSignal(keras.callbacks.Callback):
    """Stops training after the step in which SIGINT or SIGTERM arrives; use it in a `with`.

    Raises `Interrupted` from `fit`; a second signal acts as without this callback. A signal during
    an epoch's last step or its validation takes effect after both. If any of several workers gets a
    signal, all stop after the next step.

    Args:
        position: the position of training; must precede this one in the list of callbacks.
        ballot: the vote of several workers.
    """

    def __init__(self, position: Position, ballot: Ballot | None = None):
        super().__init__()
        self._position, self._ballot = position, ballot
        self._received: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> StopOnSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _receive(self, number, frame):
        self._received = number
        self.__exit__()

    def on_train_batch_end(self, batch, logs=None):
        """Stop, if a signal came."""
        if not self._position.all_steps_done:
            self._stop()

    def on_epoch_end(self, epoch, logs=None):
        """Stop, if a signal came."""
        self._stop()

    def _stop(self):
        if self._ballot is None:
            agreed = self._received is not None
        else:
            agreed = self._ballot.votes.numpy() > 0
            self._ballot.vote.assign(0.0 if self._received is None else 1.0)
        if agreed:
            number = self._received or signal.SIGTERM
            where = "" if self._received else ", which another worker received"
            raise Interrupted(f"stopped by {signal.Signals(number).name}{where}", 128 + number)
