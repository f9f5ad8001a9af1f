"""Draw what the latent space of a trained flow holds, a picture for each tool."""

from tfp_cinn.cli import command

if __name__ == "__main__":
    command.run("explore")
