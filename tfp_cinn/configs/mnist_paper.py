"""MNIST as in the paper (mnist_cINN of its reference code), which draws at temperature 0.8."""

from tfp_cinn.configs import default_config


def get_config():
    """Return the config."""
    config = default_config()
    config.data.num_validation = 0
    config.data.noise_std = 0.15
    config.model.blocks = 24
    config.model.hidden = (512, 512, 512)
    config.model.clamp = 1.5
    config.model.init_std = 0.03
    # x = pixel / 255, at bin centers.
    config.model.mean = 0.5
    config.model.std = 255.0
    # The reference's loss is a sum over the 784 dimensions, ours a mean: its L2 of 1e-5 and its
    # epsilon of 1e-6 keep their weight.
    config.model.weight_prior = 1e-5 / 784
    config.train.epsilon = 1e-6 / 784
    config.train.clip_norm = 0.0
    config.train.batch_size = 512
    config.train.learning_rate = 1e-4
    config.train.epochs = 1441
    config.train.warm_up_epochs = 1
    config.train.milestones = ()
    config.train.final_decay = 0.01
    return config
