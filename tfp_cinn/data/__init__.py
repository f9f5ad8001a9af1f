"""Labelled image data sets as integer grey levels, and the batches that flows train on."""

from tfp_cinn.data.batches import evaluation_batches, training_batches
from tfp_cinn.data.datasets import DATASETS, load
from tfp_cinn.data.idx import read_idx
from tfp_cinn.data.labelled_images import LabelledImages, Split

__all__ = [
    "DATASETS",
    "LabelledImages",
    "Split",
    "evaluation_batches",
    "load",
    "read_idx",
    "training_batches",
]
