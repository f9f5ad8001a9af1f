"""Metrics of a flow and its samples."""

from tfp_cinn.metrics.classifier import is_recognized, train_classifier
from tfp_cinn.metrics.coverage import coverage, recall
from tfp_cinn.metrics.diversity import neighbor_distance, pair_distance
from tfp_cinn.metrics.figure import Figure, metric
from tfp_cinn.metrics.latents import latent_moments
from tfp_cinn.metrics.likelihood import bits_per_dim, class_accuracy, nats_per_dim
from tfp_cinn.metrics.sharpness import sharpness

__all__ = [
    "Figure",
    "bits_per_dim",
    "class_accuracy",
    "coverage",
    "is_recognized",
    "latent_moments",
    "metric",
    "nats_per_dim",
    "neighbor_distance",
    "pair_distance",
    "recall",
    "sharpness",
    "train_classifier",
]
