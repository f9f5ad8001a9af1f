"""Training runs: configs, checkpoints, callbacks."""

from tfp_cinn.training.config import colorization_config, default_config
from tfp_cinn.training.pretrain import pretrain
from tfp_cinn.training.train import train

__all__ = ["colorization_config", "default_config", "pretrain", "train"]
