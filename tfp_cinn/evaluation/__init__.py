"""How good a trained flow is, in numbers and pictures."""

from tfp_cinn.evaluation.classifier import is_recognised, train_classifier
from tfp_cinn.evaluation.detail import sharpness
from tfp_cinn.evaluation.diversity import neighbour_distance, pair_distance
from tfp_cinn.evaluation.estimate import Estimate
from tfp_cinn.evaluation.latents import LatentStatistics, latent_statistics
from tfp_cinn.evaluation.likelihood import class_accuracy, nats_per_dim
from tfp_cinn.evaluation.modes import coverage, recall
from tfp_cinn.evaluation.pictures import draw_curve, draw_samples
from tfp_cinn.evaluation.run import evaluate
from tfp_cinn.evaluation.sampling import draw, sample

__all__ = [
    "Estimate",
    "LatentStatistics",
    "class_accuracy",
    "coverage",
    "draw",
    "draw_curve",
    "draw_samples",
    "evaluate",
    "is_recognised",
    "latent_statistics",
    "nats_per_dim",
    "neighbour_distance",
    "pair_distance",
    "recall",
    "sample",
    "sharpness",
    "train_classifier",
]
