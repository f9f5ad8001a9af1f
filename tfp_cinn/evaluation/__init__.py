"""How good a trained flow is, in numbers and pictures."""

from tfp_cinn.evaluation.likelihood import Estimate, class_accuracy, nats_per_dim
from tfp_cinn.evaluation.pictures import draw_curve, draw_samples
from tfp_cinn.evaluation.run import evaluate, sample

__all__ = [
    "Estimate",
    "class_accuracy",
    "draw_curve",
    "draw_samples",
    "evaluate",
    "nats_per_dim",
    "sample",
]
