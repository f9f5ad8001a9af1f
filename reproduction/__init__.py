"""The paper's findings with our own runs: `python -m reproduction` runs them."""
