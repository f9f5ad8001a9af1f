"""MNIST as in the paper's minimal example (mnist_minimal_example of its reference code)."""

from tfp_cinn.configs import default_config


def get_config():
    """Return the config."""
    config = default_config()
    config.model.init_std = 0.01
    config.model.zero_last = False
    # x = (pixel / 255 - 0.128) / 0.305, at bin centers.
    config.model.mean = 0.128 * 255 + 0.5
    config.model.std = 0.305 * 255
    return config
