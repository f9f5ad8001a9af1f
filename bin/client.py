"""Ask a TensorFlow Serving, or an exported model without a server, for samples."""

from tfp_cinn.cli import command

if __name__ == "__main__":
    command.run("client")
