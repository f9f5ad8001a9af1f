"""Photographs colored: the paper's minimal colorization flow, made small for two CPU cores.

Needs photographs: tools/gather_photos makes a folder of them; --config.data.folder names another.
"""

from tfp_cinn.configs import colorization_config


def get_config():
    """Return the config."""
    config = colorization_config()
    config.data.folder = "photos"
    # So that crops of 64 pixels show things, not textures.
    config.data.downscale = 8
    config.data.noise_std = 0.05
    config.data.test_fraction = 0.15
    config.model.widths = (16, 32, 64, 256)
    config.model.levels = ((16, 32), (64, 64), (64,))
    config.model.vector = 128
    config.model.permutation = "soft"
    config.model.weight_prior = 1e-5
    config.train.batch_size = 32
    config.train.epochs = 60
    config.train.milestones = (45,)
    config.train.clip_norm = 10.0
    return config
