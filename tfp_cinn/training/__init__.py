"""Training runs: configs, checkpoints, callbacks."""

from tfp_cinn.training.config import default_config
from tfp_cinn.training.train import train

__all__ = ["default_config", "train"]
