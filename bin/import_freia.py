"""Makes a training run's folder of weights that were trained with FrEIA on PyTorch.

python bin/import_freia.py --config=configs/mnist_paper.py --weights=mnist.pt --workdir=runs/paper
"""

from absl import flags
from ml_collections import config_flags

from tfp_cinn.cli import app
from tfp_cinn.training import import_run_from_freia

_CONFIG = config_flags.DEFINE_config_file("config", help_string="The experiment.")
_WEIGHTS = flags.DEFINE_string("weights", None, "File that torch.save wrote.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder to make.", required=True)


def main(_):
    import_run_from_freia(app.checked_config(_CONFIG.value), _WEIGHTS.value, _WORKDIR.value)


if __name__ == "__main__":
    app.run(main)
