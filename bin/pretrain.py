"""Train the conditioner of an image's colors to predict these, without a flow."""

from tfp_cinn.cli import command

if __name__ == "__main__":
    command.run("pretrain")
