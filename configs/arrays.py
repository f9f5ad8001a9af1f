"""Anybody's own x and c: --config.data.train=mine.npz, or .csv, or data.x and data.cond as .npy."""

from tfp_cinn.tasks.arrays import Arrays
from tfp_cinn.training import default_config


def get_config():
    """Returns the config."""
    config = default_config()
    own = Arrays.default_config()
    config.data, config.model = own.data, own.model
    config.train.epochs = 60
    config.train.learning_rate = 1e-3
    config.train.milestones = ()
    # The best epoch's weights are kept, by the held-out rows.
    config.train.final_decay = 0.01
    return config
