"""Trains a conditional flow.

python bin/train.py --config=configs/digits.py --workdir=runs/digits [--config.train.epochs=3]
"""

from absl import flags
from ml_collections import config_flags

from tfp_cinn import app
from tfp_cinn.training import train

_CONFIG = config_flags.DEFINE_config_file("config", help_string="The experiment.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for all results.", required=True)


def main(_):
    train(app.checked_config(_CONFIG.value), _WORKDIR.value)


if __name__ == "__main__":
    app.run(main)
