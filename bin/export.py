"""Export a trained flow as a version that TensorFlow Serving can load."""

from tfp_cinn.cli import command

if __name__ == "__main__":
    command.run("export")
