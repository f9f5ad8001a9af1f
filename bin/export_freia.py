"""Writes a trained flow's weights for the same network in FrEIA on PyTorch.

python bin/export_freia.py --workdir=runs/fashion --output=fashion.safetensors
"""

from absl import flags

from tfp_cinn.cli import app
from tfp_cinn.training import export_run_to_freia

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a training run.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The .safetensors file to write.", required=True)
_NAMES = flags.DEFINE_enum(
    "names",
    "paper",
    ["paper", "pypi"],
    "Names as FrEIA gave them at the time of the paper, or as it does since, on PyPI.",
)


def main(_):
    export_run_to_freia(_WORKDIR.value, _OUTPUT.value, _NAMES.value)


if __name__ == "__main__":
    app.run(main)
