"""Errors that a user can put right."""

import re

__all__ = ["NonFiniteError", "NonFiniteStepError", "UsageError", "WriteError", "reason"]


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
    """A file can't be written; the one that was there is unharmed."""


# What Keras writes around its reason when a layer or a config is at fault.
_AROUND = (
    r"\x1b\[\d*m",
    r"Exception encountered when calling .*",
    r"Arguments received by [\s\S]*",
    r"[\s\S]*\nException encountered: ",
    r"A total of \d+ objects could not be loaded[\s\S]*>:\n",
    r"\.? *Full object config: [\s\S]*",
)


def reason(error: Exception) -> str:
    """Return the first line of what went wrong, without what Keras writes around it."""
    text = str(error)
    for pattern in _AROUND:
        text = re.sub(pattern, "", text)
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
