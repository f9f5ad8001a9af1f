"""Make a training run's folder of weights that were trained with FrEIA on PyTorch."""

from tfp_cinn.cli import command

if __name__ == "__main__":
    command.run("import-freia")
