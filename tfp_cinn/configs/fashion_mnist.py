"""Fashion-MNIST with the network of the paper's minimal MNIST example."""

from tfp_cinn.configs import default_config


def get_config():
    """Return the config."""
    config = default_config()
    config.data.name = "fashion_mnist"
    config.model.init_std = 0.01
    config.model.zero_last = False
    config.train.epochs = 12
    config.train.milestones = (8, 11)
    config.train.epsilon = 1e-7
    return config
