"""Labeled images, colored digits, photographs, and their batches."""

from tfp_cinn.data.batches import dequantize, evaluation_batches, training_batches
from tfp_cinn.data.color_digits import paint_digits
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
    "dequantize",
    "evaluation_batches",
    "evaluation_crops",
    "load",
    "load_nothing",
    "load_photos",
    "load_prepared_photos",
    "no_photos",
    "paint_digits",
    "read_idx",
    "training_batches",
    "training_crops",
]
