"""What several tests of exports share."""

from tfp_cinn import UsageError
from tfp_cinn.export import session

FACTS = {"dataset": "digits", "class_names": [str(k) for k in range(10)], "levels": 17}


def verify_in_process(path):
    """Does as `tfp_cinn.export.verify`, without the 12 CPU seconds of a fresh process."""
    try:
        return session.replay(path)
    except ValueError as error:
        raise UsageError(f"{path}: can't be served: {error}; export the model again") from None


def some(values, session, signature):
    """Those of the values that a signature takes."""
    return {key: values[key] for key in session.signatures[signature].inputs}


def tree(folder):
    """All that is in a folder, at any depth."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
