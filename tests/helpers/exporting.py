"""What several tests of exports share."""

FACTS = {"dataset": "digits", "class_names": [str(k) for k in range(10)], "levels": 17}


def some(values, session, signature):
    """Those of the values that a signature takes."""
    return {key: values[key] for key in session.signatures[signature].inputs}


def tree(folder):
    """All that is in a folder, at any depth."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
