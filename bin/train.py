"""Train a conditional flow."""

from tfp_cinn.cli import command

if __name__ == "__main__":
    command.run("train")
