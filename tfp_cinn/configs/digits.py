"""Scikit-learn's 8x8 digits, embedded in the package: minutes on two cores, no download."""

from tfp_cinn.configs import default_config


def get_config():
    """Return the config."""
    config = default_config()
    config.data.name = "digits"
    config.data.num_validation = 150
    # 1350 images are few: a small network, dropout and a strong prior on the weights.
    config.model.blocks = 12
    config.model.hidden = (128,)
    config.model.permutation = "soft"
    config.model.dropout = 0.2
    config.model.weight_prior = 3e-4
    config.train.batch_size = 64
    config.train.epochs = 200
    config.train.learning_rate = 1e-3
    config.train.milestones = (150, 185)
    return config
