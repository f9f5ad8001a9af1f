"""Training runs: configs, checkpoints, callbacks."""

from tfp_cinn.training.config import color_digits_config, colorization_config, default_config
from tfp_cinn.training.pretrain import pretrain
from tfp_cinn.training.strategy import STRATEGIES
from tfp_cinn.training.train import train

__all__ = [
    "STRATEGIES",
    "color_digits_config",
    "colorization_config",
    "default_config",
    "pretrain",
    "train",
]
