"""How a pass over a batch is computed."""

from __future__ import annotations

import contextlib
import contextvars
import numbers
from collections.abc import Iterator
from typing import NamedTuple

from tfp_cinn.errors import UsageError

__all__ = ["Computing", "computing", "current", "drawing"]


class Computing(NamedTuple):
    """The arguments of `computing`, and whether `drawing` leaves out log-determinants."""

    shards: int = 1
    memory: str = "store"
    log_det: bool = True


_PLAIN = Computing()
_current: contextvars.ContextVar[Computing] = contextvars.ContextVar("computing", default=_PLAIN)


def current() -> Computing:
    """Return the settings of the innermost `computing` around the caller."""
    return _current.get()


def computing(
    shards: int = 1, memory: str = "store"
) -> contextlib.AbstractContextManager[Computing]:
    """Return a context in which bijectors compute in shards, or without storing activations.

        with tfp_cinn.bijectors.computing(shards=2, memory="recompute"):
            log_prob = dist.log_prob(x, cond)

    It holds for each pass that starts, or is traced into a graph, inside: a `tf.function` keeps
    what held when it was traced. `CINN.compile` takes the same two settings for `fit`, `evaluate`
    and `predict`.

    Args:
        shards: into how many parts a batch is cut, which a graph computes side by side.
        memory: "store" if encoding keeps its activations for a gradient, "recompute" if the
            backward pass rebuilds them from z, member by member.

    Raises:
        UsageError: if an argument is something else.
    """
    if not isinstance(shards, numbers.Integral) or shards < 1:
        raise UsageError(f"shards: expected a whole number of at least 1, got {shards!r}")
    if memory not in ("store", "recompute"):
        raise UsageError(f'memory: expected "store" or "recompute", got {memory!r}')
    return _entered(Computing(int(shards), memory))


def drawing() -> contextlib.AbstractContextManager[Computing]:
    """Return a context in which decoding may leave log-determinants at zero, where they cost."""
    return _entered(current()._replace(log_det=False))


@contextlib.contextmanager
def _entered(settings: Computing) -> Iterator[Computing]:
    token = _current.set(settings)
    try:
        yield settings
    finally:
        _current.reset(token)
