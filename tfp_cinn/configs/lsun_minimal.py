"""The published minimal colorization example, on LSUN bedrooms (arXiv 1907.02392, its code).

Needs `lsun/bedroom` as tensorflow-datasets prepares it.
"""

from tfp_cinn.configs import colorization_config


def get_config():
    """Return the config."""
    config = colorization_config()
    config.data.name = "lsun/bedroom"
    # 3,033,042 photographs once, though one may be cut into several crops.
    config.train.steps_per_epoch = 23695
    return config
