"""Training runs: configs, checkpoints, callbacks, and runs that were trained elsewhere."""

from tfp_cinn.configs import (
    class_images_config,
    color_digits_config,
    colorization_config,
    default_config,
)
from tfp_cinn.training.freia import import_run_from_freia
from tfp_cinn.training.pretrain import pretrain
from tfp_cinn.training.strategy import STRATEGIES
from tfp_cinn.training.train import train

__all__ = [
    "STRATEGIES",
    "class_images_config",
    "color_digits_config",
    "colorization_config",
    "default_config",
    "import_run_from_freia",
    "pretrain",
    "train",
]
