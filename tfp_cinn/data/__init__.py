"""Labeled images, colored digits, photographs, and their batches."""

from tfp_cinn.data.batches import evaluation_batches, training_batches
from tfp_cinn.data.color_digits import evaluation_color_digits, training_color_digits
from tfp_cinn.data.crops import evaluation_crops, training_crops
from tfp_cinn.data.datasets import DATASETS, load, load_nothing
from tfp_cinn.data.idx import read_idx
from tfp_cinn.data.labeled_images import LabeledImages, Split
from tfp_cinn.data.photos import Photos, PhotoSplit, load_photos, no_photos
from tfp_cinn.data.prepared_photos import load_prepared_photos

__all__ = [
    "DATASETS",
    "LabeledImages",
    "PhotoSplit",
    "Photos",
    "Split",
    "evaluation_batches",
    "evaluation_color_digits",
    "evaluation_crops",
    "load",
    "load_nothing",
    "load_photos",
    "load_prepared_photos",
    "no_photos",
    "read_idx",
    "training_batches",
    "training_color_digits",
    "training_crops",
]
