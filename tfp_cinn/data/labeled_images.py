"""The in-memory form of a labeled image data set."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from tfp_cinn.errors import UsageError


class Split(NamedTuple):
    """Some labeled images, in order.

    Attributes:
        images: uint8 `[N, H, W, C]`, gray levels 0 .. levels-1.
        labels: int32 `[N]`, classes 0 .. num_classes-1.
    """

    images: np.ndarray
    labels: np.ndarray


class Source(NamedTuple):
    """A data set as it was read.

    Attributes:
        splits: `train`, `test`, and `validation` if it has one of its own.
        class_names: of its classes.
        summary: a line on what was found and what was skipped, or nothing.
    """

    splits: dict[str, Split]
    class_names: tuple[str, ...]
    summary: str = ""


@dataclasses.dataclass(frozen=True)
class Fitting:
    """One shape for images of any size and kind.

    Attributes:
        size: rows and columns; None to leave them.
        channels: 1 (luma, by ITU-R BT.601) or 3; None for 1 if all images are gray, else 3.
        resize: "crop" scales an image until it covers `size` and cuts off what sticks out, the same
            at both ends; "stretch" changes its proportions. Both smooth what they shrink.

    Raises:
        UsageError: a field out of range.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    resize: str = "crop"

    def __post_init__(self):
        size = self.size
        if size is not None and not (
            isinstance(size, Sequence)
            and len(size) == 2
            and all(isinstance(side, int) and 1 <= side <= 4096 for side in size)
        ):
            raise UsageError(f"size is {size!r}, expected (rows, columns), each from 1 to 4096")
        if self.channels not in (None, 1, 3):
            raise UsageError(f"channels is {self.channels!r}, expected 1 (gray), 3 (RGB) or None")
        if self.resize not in ("crop", "stretch"):
            raise UsageError(f"resize is {self.resize!r}, expected 'crop' or 'stretch'")

    def image(self, pixels: np.ndarray) -> np.ndarray:
        """Fit one image, uint8 `[H, W, 1 or 3]`; its channels stay if they aren't given."""
        size = tuple(self.size or pixels.shape[:2])
        channels = self.channels or pixels.shape[-1]
        if pixels.shape == (*size, channels):
            return pixels
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        image = image.convert("L" if channels == 1 else "RGB")
        # Bilinear, as sharper filters overshoot the gray levels.
        if self.resize == "crop":
            image = ImageOps.fit(image, size[::-1], Image.Resampling.BILINEAR)
        else:
            image = image.resize(size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(image).reshape(*size, channels)

    def stack(self, images: Sequence[np.ndarray], origin: str) -> np.ndarray:
        """Stack images that `image` returned, uint8 `[N, H, W, C]`.

        Args:
            images: one or more.
            origin: where they are from, for the message.

        Raises:
            UsageError: if they differ in size.
        """
        sizes = sorted({image.shape[:2] for image in images})
        if len(sizes) > 1:
            few = ", ".join(f"{rows} x {columns}" for rows, columns in sizes[:3])
            raise UsageError(
                f"{origin}: images have {len(sizes)} sizes ({few}, ...), expected one: set "
                "config.data.size=(ROWS, COLUMNS)"
            )
        channels = max(image.shape[-1] for image in images)
        return np.stack([np.broadcast_to(image, (*sizes[0], channels)) for image in images])


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
        summary: a line on what was found and what was skipped, or nothing.

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
    summary: str = ""

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
    source: str,
    *,
    image_shape: tuple[int, int, int] | None,
    num_classes: int | None,
) -> Split:
    """Pair images with labels after checking both.

    Args:
        images: uint8 `[N, H, W]` or `[N, H, W, C]`.
        labels: integers `[N]`.
        source: where they are from, for messages.
        image_shape: what it has to be; None for any of 1 or 3 channels.
        num_classes: labels are below it; None for any from 0.

    Raises:
        UsageError: no images, another shape or dtype, counts that differ, a label out of range.
    """
    if images.ndim == 3:
        images = images[..., np.newaxis]
    shape = images.shape[1:]
    fits = shape == image_shape if image_shape else len(shape) == 3 and shape[-1] in (1, 3)
    if images.dtype != np.uint8 or not fits or not len(images):
        raise UsageError(
            f"{source}: holds {len(images)} {images.dtype} images of shape {shape}, expected some "
            f"uint8 images of shape {image_shape or '(H, W, 1 or 3)'}"
        )
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise UsageError(
            f"{source}: holds {labels.dtype} labels of shape {labels.shape}, expected an integer "
            f"for each of the {len(images)} images"
        )
    most = labels.max() if num_classes is None else num_classes - 1
    outside = np.flatnonzero((labels < 0) | (labels > most))
    if len(outside):
        raise UsageError(
            f"{source}: {len(outside)} of {len(labels)} labels are outside 0..{most}, the first is "
            f"{labels[outside[0]]} at index {outside[0]}: check that the labels are those of this "
            "data set"
        )
    return Split(images, labels.astype(np.int32))
