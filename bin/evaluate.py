"""Measure a trained flow on test data, and its samples beside them."""

from tfp_cinn.cli import command

if __name__ == "__main__":
    command.run("evaluate")
