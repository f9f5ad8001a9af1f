"""Write a trained flow's weights for the same network in FrEIA on PyTorch.

tfp-cinn export-freia --workdir=runs/fashion --output=fashion.safetensors
"""

from tfp_cinn.cli.flags import Flags

FLAGS = Flags()
FLAGS.path("workdir", "Folder of a training run.", required=True)
FLAGS.path("output", "The .safetensors file to write.", required=True)
FLAGS.string(
    "names", "As FrEIA named them for the paper (paper), or since, on PyPI (pypi).", "paper"
)


def main(**given):
    """See `tfp_cinn.training.export_run_to_freia`."""
    from tfp_cinn.training import export_run_to_freia

    export_run_to_freia(**given)
