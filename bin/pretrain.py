"""Trains the conditioner of an image's colors to predict these, without a flow.

python bin/pretrain.py --config=configs/photos.py --output=runs/conditioner.weights.h5
"""

from absl import flags
from ml_collections import config_flags

from tfp_cinn.cli import app
from tfp_cinn.training import pretrain

_CONFIG = config_flags.DEFINE_config_file("config", help_string="The experiment.")
_OUTPUT = flags.DEFINE_string("output", None, "File for the weights.", required=True)
_EPOCHS = flags.DEFINE_integer("epochs", 10, "How often to go through the data.")


def main(_):
    pretrain(app.checked_config(_CONFIG.value), _OUTPUT.value, _EPOCHS.value)


if __name__ == "__main__":
    app.run(main)
