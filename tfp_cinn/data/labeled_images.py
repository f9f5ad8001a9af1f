"""The in-memory form of a labeled image data set."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from tfp_cinn.errors import UsageError


class Split(NamedTuple):
    """Some labeled images, in order.

    Attributes:
        images: uint8 `[N, H, W, C]`, gray levels 0 .. levels-1.
        labels: int32 `[N]`, classes 0 .. num_classes-1.
    """

    images: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class LabeledImages:
    """A data set of labeled images, held in memory.

    The integer gray level v occupies the bin [v, v+1) of the real line, so the data domain is
    [0, levels) and a density over it is in nats per (gray level)^dimension.

    Attributes:
        name: the name that `load` knows it by.
        train: what a flow is fitted to.
        validation: held out of the official training set; may be empty.
        test: the official test set.
        num_classes: how many classes the labels name.
        levels: how many gray levels a pixel can take (256, or 17 for `digits`).
        class_names: what people call each class; their numbers if none are given.

    Raises:
        UsageError: a number of class names that is not `num_classes`.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    num_classes: int
    levels: int
    class_names: tuple[str, ...] = ()

    def __post_init__(self):
        names = tuple(self.class_names) or tuple(str(k) for k in range(self.num_classes))
        if len(names) != self.num_classes:
            raise UsageError(
                f"class_names holds {len(names)} names, expected one for each of the "
                f"{self.num_classes} classes"
            )
        object.__setattr__(self, "class_names", names)  # the dataclass is frozen

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape `(H, W, C)` of one image."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def mean(self) -> float:
        """Mean over all training pixels of the bin center v + 1/2, in gray levels."""
        return self._moments[0]

    @property
    def std(self) -> float:
        """Standard deviation over all training pixels of the bin center v + 1/2, in gray levels."""
        return self._moments[1]

    @functools.cached_property
    def _moments(self) -> tuple[float, float]:
        if not len(self.train.images):
            raise UsageError(
                f"{self.name}: has no training images here to take mean and standard deviation "
                "of; set config.model.mean and config.model.std"
            )
        # From a histogram, chunk by chunk: numpy's own std would make a float64 copy of the pixels.
        counts = np.zeros(256, np.int64)
        for start in range(0, len(self.train.images), 4096):
            counts += np.bincount(self.train.images[start : start + 4096].ravel(), minlength=256)
        centers = np.arange(256) + 0.5
        mean = np.average(centers, weights=counts)
        variance = np.average((centers - mean) ** 2, weights=counts)
        return float(mean), float(np.sqrt(variance))


def make_split(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    image_shape: tuple[int, int, int],
    num_classes: int,
    images_from: str,
    labels_from: str,
) -> Split:
    """Pair images with labels after checking both.

    Args:
        images: uint8 `[N, H, W]` or `[N, H, W, C]`.
        labels: integers `[N]`.
        image_shape: the `(H, W, C)` that the images must have.
        num_classes: labels must be in 0 .. num_classes-1.
        images_from: the file or split that the images came from, for the messages.
        labels_from: the file or split that the labels came from, for the messages.

    Raises:
        UsageError: no images, another shape or dtype, counts that differ, a label out of range.
    """
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.dtype != np.uint8 or images.shape[1:] != image_shape:
        raise UsageError(
            f"{images_from} holds {images.dtype} images of shape {images.shape[1:]}, expected "
            f"uint8 of shape {image_shape}: give the files of the data set that was named"
        )
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UsageError(
            f"{labels_from} holds {labels.dtype} labels of shape {labels.shape}, expected one "
            "integer per image: check that it is the labels file"
        )
    if len(images) != len(labels):
        raise UsageError(
            f"{images_from} holds {len(images)} images but {labels_from} holds {len(labels)} "
            "labels, expected as many: get both from the same place"
        )
    if len(images) == 0:
        raise UsageError(f"{images_from} holds no images, expected at least one: get it again")
    outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(outside):
        raise UsageError(
            f"{labels_from}: {len(outside)} of {len(labels)} labels are outside "
            f"0..{num_classes - 1}, the first is {labels[outside[0]]} at index {outside[0]}: "
            "check that it is the labels file of this data set"
        )
    return Split(images, labels.astype(np.int32))
