"""Draw samples of a trained flow into a picture or an array file."""

from tfp_cinn.cli import command

if __name__ == "__main__":
    command.run("sample")
