"""The paper's colorization of ImageNet (arXiv 1907.02392, the numbers of its code).

Needs `imagenet2012` as tensorflow-datasets prepares it. Differs from the reference in the crops,
which are of the photographs' own resolution, and in one optimizer for all weights: there the
conditioner has its own, without the weight prior, and both lower their learning rate when the loss
stays; this uses the fixed schedule that the reference's code has beside it.
"""

from tfp_cinn.configs import colorization_config


def get_config():
    """Return the config."""
    config = colorization_config()
    config.data.name = "imagenet2012"
    config.data.downscale = 1
    config.data.size = 256
    config.data.noise_std = 0.05
    config.model.architecture = "colorization_imagenet"
    config.model.weight_prior = 1e-5
    config.train.epochs = 480
    config.train.steps_per_epoch = 256
    config.train.batch_size = 48
    config.train.learning_rate = 1e-4
    config.train.milestones = (120, 240, 360)
    config.train.milestone_decay = 0.2
    config.train.epsilon = 1e-6
    return config
