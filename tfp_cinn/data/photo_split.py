"""A data set of photographs, in memory or not."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfp_cinn.data.photo_files import MAX_DOWNSCALE
from tfp_cinn.errors import UsageError


@dataclasses.dataclass(frozen=True, eq=False)
class PhotoSplit:
    """Downscaled photos in a fixed order, and the size of their crops.

    Attributes:
        size: S, the rows and columns of a crop.
        stream: makes a data set of all photos, uint8 `[H, W, 3]`, sRGB. Its argument is None for
            the fixed order, or an int64 `[2]` key of a random order, as far as the source allows.
        files: path of each of the N photos; empty if they don't come from files.
        shapes: int64 `[N, 2]`, rows and columns of each; None if unknown.
        pixels: uint8 tensor `[P, 3]`, the pixels of all photos, concatenated; None if they aren't
            in memory.
    """

    size: int
    stream: Callable[[tf.Tensor | None], tf.data.Dataset]
    files: tuple[str, ...] = ()
    shapes: np.ndarray | None = None
    pixels: tf.Tensor | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Photos:
    """A data set of photographs.

    Attributes:
        name: the folder, or the name in TensorFlow Datasets.
        train: the training set.
        validation: held out of training; empty only on request.
        test: neither trained nor selected on; empty only on request.
        summary: a line on what was found and skipped.
        skipped: for a folder, the reason for each file that can't be used.
    """

    name: str
    train: PhotoSplit
    validation: PhotoSplit
    test: PhotoSplit
    summary: str
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)


def no_photos(name: str, size: int) -> Photos:
    """Return a data set with a name and the size of its crops, without photographs.

    Args:
        name: name of the data set.
        size: rows and columns of a crop.

    Raises:
        UsageError: if the size is invalid.
    """
    check_crops(size, 1)
    empty = np.zeros((0, 1, 1, 3), np.uint8)
    split = PhotoSplit(size, lambda key: tf.data.Dataset.from_tensor_slices(empty))
    return Photos(name, split, split, split, f"{name}: none of its photographs")


def check_crops(size: int, downscale: int) -> None:
    """Raise a UsageError for invalid crop sizes or factors."""
    if size < 1:
        raise UsageError(f"size is {size}, expected at least 1 pixel")
    if downscale not in range(1, MAX_DOWNSCALE + 1):
        raise UsageError(
            f"downscale is {downscale}, expected a whole number from 1 to {MAX_DOWNSCALE}"
        )
