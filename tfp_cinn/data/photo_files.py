"""Images in a folder: which files can be used, and their pixels."""

import concurrent.futures
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from tfp_cinn.data.image_files import SUFFIXES, Unusable, open_image, quiet, to_rgb
from tfp_cinn.errors import UsageError

_GRAY_LEVELS, _GRAY_SHARE = 8, 0.01


def find(folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """List the files at any depth that have the suffix of an image, sorted by path.

    Symbolic links are followed, but every folder is entered only once, so that loops end.

    Raises:
        UsageError: a folder can't be read.
    """

    def refuse(error: OSError) -> None:
        raise UsageError(f"{error.filename}: the folder can't be read ({error.strerror})")

    files, entered = [], set()
    for base, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        status = os.stat(base)
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders.sort()
        paths = (pathlib.Path(base, name) for name in names if name.lower().endswith(SUFFIXES))
        # Dead links are reported later; reading a named pipe would block forever.
        files += [path for path in paths if path.is_file() or not path.exists()]
    return sorted(files)


def read_folder(
    folder: pathlib.Path, read: Callable[[pathlib.Path], np.ndarray], skipped: dict[str, str]
) -> Iterator[tuple[pathlib.Path, bytes, np.ndarray]]:
    """Yield path, SHA-256 and pixels of the images at any depth, each file's contents once.

    `read` returns pixels or raises `Unusable`; `skipped` takes the reason for each unused file.
    """

    def attempt(path: pathlib.Path) -> tuple[np.ndarray, bytes] | str:
        try:
            return read(path), hashlib.sha256(path.read_bytes()).digest()
        except Unusable as reason:
            return str(reason)

    paths, seen = find(folder), set()
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        with quiet():
            for path, result in zip(paths, pool.map(attempt, paths), strict=True):
                if isinstance(result, str):
                    skipped[str(path)] = result
                elif result[1] in seen:
                    skipped[str(path)] = "duplicate"
                else:
                    seen.add(result[1])
                    yield path, result[1], result[0]
    finally:
        pool.shutdown(cancel_futures=True)


def fraction(digest: bytes) -> float:
    """Map a digest to [0, 1): a split that neither renaming nor adding files changes."""
    return int.from_bytes(digest[:8], "big") / 2**64


def read(path: str | os.PathLike[str], size: int, downscale: int) -> np.ndarray:
    """Read one photograph, averaged over squares of `downscale` pixels.

    Args:
        path: the file.
        size: minimal number of rows and columns after downscaling.
        downscale: 1 .. 16.

    Raises:
        Unusable: an image that `image_files` can't read, or one that is "CMYK" (whose colors depend
            on a profile), "too small" or "gray" (`is_gray`).
    """
    image = open_image(path)
    if image.mode == "CMYK":
        raise Unusable("CMYK")
    if min(image.size) // downscale < size:
        raise Unusable("too small")
    with tf.device("CPU:0"):
        pixels = area_average(tf.constant(to_rgb(image)), downscale)
        if is_gray(pixels):
            raise Unusable("gray")
    return pixels.numpy()


def is_gray(pixels: tf.Tensor) -> tf.Tensor:
    """Return whether under 1 % of the pixels `[H, W, 3]` have channels over 8 levels apart."""
    # Channel by channel, since reducing an axis of 3 is slow.
    red, green, blue = tf.unstack(pixels, axis=-1)
    spread = tf.maximum(tf.maximum(red, green), blue) - tf.minimum(tf.minimum(red, green), blue)
    return tf.reduce_mean(tf.cast(spread > _GRAY_LEVELS, tf.float32)) < _GRAY_SHARE


def area_average(image: tf.Tensor, downscale: int) -> tf.Tensor:
    """Average uint8 `[H, W, 3]` over squares, to uint8 `[H // downscale, W // downscale, 3]`.

    Means are rounded, halves up; incomplete squares at the bottom and the right are cropped.
    """
    shape = tf.shape(image)[:2] // downscale
    image = image[: shape[0] * downscale, : shape[1] * downscale]
    means = tf.image.resize(image, shape, tf.image.ResizeMethod.AREA)
    # Means are multiples of 1 / downscale**2, so a small offset rounds all halves up.
    return tf.cast(means + (0.5 + 1e-3), tf.uint8)
