"""Metrics of a flow and its samples."""

from tfp_cinn.metrics.c2st import c2st
from tfp_cinn.metrics.classifier import is_recognized, train_classifier
from tfp_cinn.metrics.coverage import coverage, recall
from tfp_cinn.metrics.diversity import neighbor_distance, pair_distance
from tfp_cinn.metrics.figure import Figure, metric
from tfp_cinn.metrics.latents import latent_moments
from tfp_cinn.metrics.likelihood import class_accuracy, likelihood
from tfp_cinn.metrics.posterior import judge_posteriors
from tfp_cinn.metrics.sharpness import sharpness

__all__ = [
    "Figure",
    "c2st",
    "class_accuracy",
    "coverage",
    "is_recognized",
    "judge_posteriors",
    "latent_moments",
    "likelihood",
    "metric",
    "neighbor_distance",
    "pair_distance",
    "recall",
    "sharpness",
    "train_classifier",
]
