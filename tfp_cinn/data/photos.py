"""Photographs, in memory or not, split into training, validation and test photos."""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_cinn.data import photo_files
from tfp_cinn.data.image_files import Unusable, by_reason
from tfp_cinn.errors import UsageError

_MAX_DOWNSCALE = 16


@dataclasses.dataclass(frozen=True, eq=False)
class PhotoSplit:
    """Downscaled photos in a fixed order, and the size of their crops.

    Attributes:
        size: S, the rows and columns of a crop.
        stream: makes a data set of all photos, uint8 `[H, W, 3]`, sRGB. Its argument is None for
            the fixed order, or an int64 `[2]` key of a random order, as far as the source allows.
        files: path of each of the N photos; empty if they don't come from files.
        shapes: int64 `[N, 2]`, rows and columns of each; None if unknown.
    """

    size: int
    stream: Callable[[tf.Tensor | None], tf.data.Dataset]
    files: tuple[str, ...] = ()
    shapes: np.ndarray | None = None


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
    if downscale not in range(1, _MAX_DOWNSCALE + 1):
        raise UsageError(
            f"downscale is {downscale}, expected a whole number from 1 to {_MAX_DOWNSCALE}"
        )


def load_photos(
    folder: str | os.PathLike[str],
    *,
    size: int = 64,
    downscale: int = 2,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    cache_bytes: int = 1 << 30,
) -> Photos:
    """Read the photographs in a folder: JPEG, PNG, WebP, TIFF, BMP and GIF, any depth.

    Each photo is rotated according to its EXIF data and averaged over squares of `downscale`
    pixels: JPEG and WebP store color at half the resolution of brightness, so a factor of 2 leaves
    one stored color per pixel.

    The SHA-256 of a photo's bytes, as u in [0, 1), picks its split: test below `test_fraction`,
    validation in the next `validation_fraction`, else training. So all crops of a photo are in one
    split, and renaming, adding or removing photos doesn't move others. Of identical files only the
    first is used; the same picture saved again is another photo. Fractions hold only on average: a
    split of fraction f of N photos is empty with probability (1 - f)^N (7e-7 for 135 photos and
    0.1). An empty split is an error unless its fraction is 0.

    All files are decoded once, to find damaged and gray ones. If the downscaled photos, at three
    bytes per pixel, fit in `cache_bytes`, they are kept in memory; otherwise they are decoded again
    at each use.

    Args:
        folder: the folder; symbolic links are followed.
        size: rows and columns of the crops to take; smaller photos are skipped.
        downscale: 1 .. 16.
        validation_fraction: of the photos, 0 .. 1; 0 for none.
        test_fraction: of the photos, 0 .. 1; 0 for none.
        cache_bytes: memory limit for all photos together.

    Returns:
        The photos, each split in the order of the SHA-256. `skipped` has the reason for every file
        that looks like a photo but can't be used.

    Raises:
        UsageError: the folder is missing or has no usable photo, a split would be empty, or an
            argument is out of range.
    """
    check_crops(size, downscale)
    if not (
        min(validation_fraction, test_fraction) >= 0 and validation_fraction + test_fraction < 1
    ):
        raise UsageError(
            f"validation_fraction is {validation_fraction} and test_fraction {test_fraction}, "
            "expected at least 0 each and less than 1 together"
        )
    root = pathlib.Path(folder).expanduser()
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder, expected one with photographs: check the path")

    def read(path: pathlib.Path) -> np.ndarray:
        return photo_files.read(path, size, downscale)

    photos: dict[bytes, _Photo] = {}
    skipped: dict[str, str] = {}
    total, fits = 0, True
    for path, digest, pixels in photo_files.read_folder(root, read, skipped):
        total += pixels.nbytes
        if fits and total > cache_bytes:
            fits = False
            photos = {key: photo._replace(pixels=None) for key, photo in photos.items()}
        photos[digest] = _Photo(str(path), pixels.shape[:2], pixels if fits else None)
    if not photos:
        found = f"skipped {by_reason(skipped)}" if skipped else "it has no image in it or below"
        raise UsageError(
            f"{root} has no photo that can be used: {found}; expected color photographs of at "
            f"least {size * downscale} x {size * downscale} pixels, JPEG, PNG, WebP, TIFF, BMP or "
            "GIF"
        )
    members: dict[str, list[_Photo]] = {"train": [], "validation": [], "test": []}
    for digest in sorted(photos):
        place = photo_files.fraction(digest)
        later = "validation" if place < test_fraction + validation_fraction else "train"
        members["test" if place < test_fraction else later].append(photos.pop(digest))
    counts = ", ".join(f"{len(files)} {part}" for part, files in members.items())
    asked = {"train": True, "validation": validation_fraction > 0, "test": test_fraction > 0}
    if any(asked[part] and not files for part, files in members.items()):
        raise UsageError(
            f"the {sum(map(len, members.values()))} photos of {root} fall into {counts}: add "
            "photos, raise the fraction of an empty split, or set it to 0 to do without"
        )
    return Photos(
        name=str(root),
        **{part: _split(members.pop(part), size, downscale) for part in [*members]},
        summary=f"{root}: {counts} photos, {total / 3e6:.1f} megapixels downscaled by {downscale}; "
        f"skipped {by_reason(skipped)}",
        skipped=skipped,
    )


class _Photo(NamedTuple):
    path: str
    shape: tuple[int, int]
    pixels: np.ndarray | None


def _split(photos: list[_Photo], size: int, downscale: int) -> PhotoSplit:
    """Make a split of some photos, which are read again where their pixels aren't in memory."""

    def read(i: int) -> np.ndarray:
        path, _, pixels = photos[i]
        try:
            return pixels if pixels is not None else photo_files.read(path, size, downscale)
        except Unusable as error:
            raise Unusable(f"{path}; {error}") from None

    def photo(i: tf.Tensor) -> tf.Tensor:
        pixels = tf.numpy_function(read, [i], tf.uint8, stateful=False)
        return tf.ensure_shape(pixels, [None, None, 3])

    def stream(key: tf.Tensor | None) -> tf.data.Dataset:
        order = tf.range(len(photos), dtype=tf.int64)
        if key is not None:
            order = tf.random.experimental.stateless_shuffle(order, key, alg="philox")
        numbers = tf.data.Dataset.from_tensor_slices(order)
        return numbers.map(photo, tf.data.AUTOTUNE, deterministic=True)

    files = tuple(photo.path for photo in photos)
    shapes = np.array([photo.shape for photo in photos], np.int64).reshape(-1, 2)
    return PhotoSplit(size, stream, files, shapes)
