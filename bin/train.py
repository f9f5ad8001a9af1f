"""Trains a conditional flow.

python bin/train.py --config=configs/digits.py --workdir=runs/digits [--config.train.epochs=3]

--strategy=mirrored uses all GPUs of this machine, --strategy=multi_worker all machines that the
variable TF_CONFIG names; docs/distributed.md says more.
"""

from absl import flags
from ml_collections import config_flags

from tfp_cinn.cli import app
from tfp_cinn.training import STRATEGIES, train

_CONFIG = config_flags.DEFINE_config_file("config", help_string="The experiment.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for all results.", required=True)
_STRATEGY = flags.DEFINE_enum("strategy", "none", STRATEGIES, "On which devices to train.")
_WAIT = flags.DEFINE_float("wait", 300.0, "Seconds to wait until all workers are there.", 0.0)


def main(_):
    config = app.checked_config(_CONFIG.value)
    train(config, _WORKDIR.value, _STRATEGY.value, _WAIT.value)


if __name__ == "__main__":
    app.run(main)
