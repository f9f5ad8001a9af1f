"""Write a trained flow's weights for the same network in FrEIA on PyTorch."""

from tfp_cinn.cli import command

if __name__ == "__main__":
    command.run("export-freia")
