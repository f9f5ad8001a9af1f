"""The photographs in a folder, split into training, validation and test photos."""

import concurrent.futures
import os
import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfp_cinn.data import photo_files
from tfp_cinn.data.image_files import Unusable, by_reason, quiet
from tfp_cinn.data.photo_files import PhotoFile
from tfp_cinn.data.photo_split import Photos, PhotoSplit, check_crops
from tfp_cinn.errors import UsageError


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
    bytes per pixel, fit in `cache_bytes`, they are kept in memory; otherwise they are decoded anew
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
    paths, closed = photo_files.find(root)
    if not paths:
        raise UsageError(
            f"{root} has no image in it or below"
            + (f" ({len(closed)} folders can't be read)" if closed else "")
            + ": name a folder with JPEG, PNG, WebP, TIFF, BMP or GIF files"
        )
    photos, cache, skipped = _read_all(paths, size, downscale, cache_bytes)
    skipped |= {str(path): "unreadable" for path in closed}
    if not photos:
        raise UsageError(
            f"{root} has no photo that can be used: skipped {by_reason(skipped)}; expected color "
            f"photographs of at least {size * downscale} x {size * downscale} pixels"
        )
    members = {"train": [], "validation": [], "test": []}
    for digest in sorted(photos):
        place = int.from_bytes(digest[:8], "big") / 2**64
        later = "validation" if place < test_fraction + validation_fraction else "train"
        members["test" if place < test_fraction else later].append(photos[digest])
    counts = ", ".join(f"{len(files)} {part}" for part, files in members.items())
    asked = {"train": True, "validation": validation_fraction > 0, "test": test_fraction > 0}
    if any(asked[part] and not files for part, files in members.items()):
        raise UsageError(
            f"the {len(photos)} photos of {root} fall into {counts}: add photos, raise the "
            "fraction of an empty split, or set it to 0 to do without"
        )
    area = sum(file.height * file.width for file in photos.values())
    return Photos(
        name=str(root),
        **{part: _split(files, cache, size, downscale) for part, files in members.items()},
        summary=f"{root}: {counts} photos, {area / 1e6:.1f} megapixels downscaled by {downscale}; "
        f"skipped {by_reason(skipped)}",
        skipped=skipped,
    )


def _read_all(
    paths: list[pathlib.Path], size: int, downscale: int, cache_bytes: int
) -> tuple[dict[bytes, PhotoFile], dict[bytes, np.ndarray], dict[str, str]]:
    """Read photos, by digest; their pixels if all of them fit; and why others can't be used."""

    def read(path: pathlib.Path) -> tuple[PhotoFile, np.ndarray] | str:
        try:
            return photo_files.read(path, size=size, downscale=downscale)
        except Unusable as reason:
            return str(reason)

    photos, cache, skipped, room = {}, {}, {}, cache_bytes
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        with quiet():
            for path, result in zip(paths, pool.map(read, paths), strict=True):
                if isinstance(result, str):
                    skipped[str(path)] = result
                    continue
                file, pixels = result
                if file.digest in photos:
                    skipped[str(path)] = "duplicate"
                    continue
                photos[file.digest] = file
                room -= pixels.nbytes
                if room >= 0:
                    cache[file.digest] = pixels
                else:
                    cache.clear()
    finally:
        pool.shutdown(cancel_futures=True)
    return photos, cache, skipped


def _split(
    files: list[PhotoFile], cache: dict[bytes, np.ndarray], size: int, downscale: int
) -> PhotoSplit:
    """Make a split of some photos, taking their pixels out of the cache if it has any."""
    shapes = np.array([(file.height, file.width) for file in files], np.int64).reshape(-1, 2)
    if cache:
        pixels, photo = _in_memory([cache.pop(file.digest) for file in files], shapes)
    else:
        pixels, photo = None, _on_disk(files, downscale)

    def stream(key: tf.Tensor | None) -> tf.data.Dataset:
        order = tf.range(len(files), dtype=tf.int64)
        if key is not None:
            order = tf.random.experimental.stateless_shuffle(order, key, alg="philox")
        photos = tf.data.Dataset.from_tensor_slices(order)
        return photos.map(photo, tf.data.AUTOTUNE, deterministic=True)

    return PhotoSplit(
        size=size,
        stream=stream,
        files=tuple(file.path for file in files),
        shapes=shapes,
        pixels=pixels,
    )


def _in_memory(
    photos: list[np.ndarray], shapes: np.ndarray
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Return the pixels of all photos, and a function that finds those of photo i."""
    nothing = np.empty((0, 3), np.uint8)
    ends = shapes.prod(axis=1).cumsum()
    with tf.device("CPU:0"):
        pixels = tf.constant(np.concatenate([nothing, *(x.reshape(-1, 3) for x in photos)]))
        lengths, ends = tf.constant(shapes), tf.constant(ends)

    def photo(i: tf.Tensor) -> tf.Tensor:
        shape, end = tf.gather(lengths, i), tf.gather(ends, i)
        flat = pixels[end - tf.reduce_prod(shape) : end]
        return tf.reshape(flat, tf.concat([shape, [3]], axis=0))

    return pixels, photo


def _on_disk(files: list[PhotoFile], downscale: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function that reads photo i."""
    with tf.device("CPU:0"):
        paths = tf.constant([os.fsencode(file.path) for file in files], tf.string)
    return lambda i: photo_files.decode(tf.gather(paths, i), downscale)
