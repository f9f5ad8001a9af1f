"""The form of a data set of photographs, in memory or not."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfp_cinn.data.photo_files import MAX_DOWNSCALE
from tfp_cinn.errors import UsageError


@dataclasses.dataclass(frozen=True, eq=False)
class PhotoSplit:
    """Some photos, downscaled, in an order of their own, and the size of the crops they are for.

    Attributes:
        size: S, the rows and columns of a crop.
        stream: all photos once, as a data set of uint8 `[H, W, 3]`, sRGB. The argument is None for
            their own order, else an int64 `[2]` key, of which an order at random is a function as
            far as the source allows.
        files: where each photo is, N of them; empty if the photos come from elsewhere.
        shapes: int64 `[N, 2]`, rows and columns of each; None if that isn't known beforehand.
        pixels: uint8 tensor `[P, 3]`, the pixels of all of them one after the other; None if they
            aren't held in memory.
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
        name: the folder, or the name that TensorFlow Datasets has for it.
        train: what a flow is fitted to.
        validation: held out of training; may be empty if so asked.
        test: neither trained nor selected on; may be empty if so asked.
        summary: a line on what was found and what was skipped.
        skipped: of a folder, the reason for each file that can't be used.
    """

    name: str
    train: PhotoSplit
    validation: PhotoSplit
    test: PhotoSplit
    summary: str
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)


def no_photos(name: str, size: int) -> Photos:
    """A data set's name and the size of its crops, without any photographs.

    Args:
        name: of the data set.
        size: rows and columns of a crop.

    Raises:
        UsageError: if that isn't a size.
    """
    check_crops(size, 1)
    empty = np.zeros((0, 1, 1, 3), np.uint8)
    split = PhotoSplit(size, lambda key: tf.data.Dataset.from_tensor_slices(empty))
    return Photos(name, split, split, split, f"{name}: none of its photographs")


def check_crops(size: int, downscale: int) -> None:
    """Refuse crops or factors that can't be, with a UsageError."""
    if size < 1:
        raise UsageError(f"size is {size}, expected at least 1 pixel")
    if downscale not in range(1, MAX_DOWNSCALE + 1):
        raise UsageError(
            f"downscale is {downscale}, expected a whole number from 1 to {MAX_DOWNSCALE}"
        )
