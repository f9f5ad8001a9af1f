"""Errors that a user can put right."""

__all__ = ["NonFiniteError", "NonFiniteStepError", "UsageError", "WriteError"]


class UsageError(ValueError):
    """Something the caller can put right: a flag, a field, a file, a shape, a label.

    The message is one line that says what was wrong, what was expected and what to do. The binaries
    print it and exit with status 2.
    """

    # AutoGraph makes an error of a traced function into another kind, unless it has this one's
    # constructor; then it only adds where it was.
    __init__ = Exception.__init__

    # Keras wraps what a layer raises into several lines about the call, unless it finds this mark.
    _keras_call_info_injected = True


class NonFiniteError(UsageError):
    """Training met a NaN or an infinity in its data or in the flow."""


class NonFiniteStepError(NonFiniteError):
    """The loss or a gradient of a step is NaN or infinite; the step changed no weight."""


class WriteError(UsageError):
    """A file can't be written; what was in its place is there still."""
