"""Errors that a user can fix."""

import re

__all__ = ["NonFiniteError", "NonFiniteStepError", "UsageError", "WriteError", "reason"]


class UsageError(ValueError):
    """An error that the caller can fix: in a flag, a field, a file, a shape, a label.

    The message is one line that says what was wrong, what was expected and what to do. The binaries
    print it and exit with status 2.
    """

    # AutoGraph replaces errors of a traced function by another kind unless they have this
    # constructor; then it only adds the location.
    __init__ = Exception.__init__

    # Keras wraps errors of a layer in several lines about the call, unless it finds this mark.
    _keras_call_info_injected = True


class NonFiniteError(UsageError):
    """Training met a NaN or an infinity in its data or in the flow."""


class NonFiniteStepError(NonFiniteError):
    """The loss or a gradient of a step is NaN or infinite; the step changed no weight."""


class WriteError(UsageError):
    """A file can't be written; the old one is unchanged."""


# The text that Keras puts around the reason of an error in a layer or a config.
_AROUND = (
    r"\x1b\[\d*m",
    r"Exception encountered when calling .*",
    r"Arguments received by [\s\S]*",
    r"[\s\S]*\nException encountered: ",
    r"A total of \d+ objects could not be loaded[\s\S]*>:\n",
    r"\.? *Full object config: [\s\S]*",
)


def reason(error: Exception) -> str:
    """Return the first line of an error's message, without the text that Keras puts around it."""
    text = str(error)
    for pattern in _AROUND:
        text = re.sub(pattern, "", text)
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
