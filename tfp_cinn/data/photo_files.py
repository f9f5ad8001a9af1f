"""Photographs in a folder: which files can be used, and their pixels."""

import contextlib
import hashlib
import io
import os
import pathlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

MAX_DOWNSCALE = 16

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_JPEG, _PNG, _WEBP = range(3)
_HEAD = 12  # bytes that tell the three formats
_MAX_BYTES = 1 << 30
_GRAY_MODES = {"1", "L", "LA", "La", "I", "I;16", "F"}
_GRAY_LEVELS, _GRAY_SHARE = 8, 0.01
_ORIENTATION_TAG = 0x0112


class Unusable(Exception):
    """A file that is no color photograph; its only argument is the reason in a word or few."""


class PhotoFile(NamedTuple):
    """A photograph that can be used.

    Attributes:
        path: the file.
        digest: the SHA-256 of its bytes.
        kind: JPEG, PNG or WebP, as `decode` takes it.
        orientation: how its EXIF data says to turn it, 1 .. 8.
        height: rows, after turning and downscaling.
        width: columns, after turning and downscaling.
    """

    path: str
    digest: bytes
    kind: int
    orientation: int
    height: int
    width: int


def find(folder: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """List what might be photographs at any depth, and the folders that can't be read.

    A file counts by its suffix or by its first bytes. Symbolic links are followed, and every folder
    is entered once, so that a loop of links ends.

    Returns:
        Files and unreadable folders, each sorted by path.
    """
    files, closed, entered = [], [], set()
    walk = os.walk(folder, followlinks=True, onerror=lambda error: closed.append(error.filename))
    for base, folders, names in walk:
        status = os.stat(base)
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders.sort()
        files += [path for path in (pathlib.Path(base, name) for name in names) if _maybe(path)]
    return sorted(files), sorted(map(pathlib.Path, closed))


def read(path: pathlib.Path, *, size: int, downscale: int) -> tuple[PhotoFile, np.ndarray]:
    """Read one photograph.

    Its header is read first: nothing is decoded of an image with more pixels than Pillow admits
    (2 * `PIL.Image.MAX_IMAGE_PIXELS`, 179 million).

    Args:
        path: the file.
        size: how many rows and columns it must have after downscaling.
        downscale: see `decode`.

    Returns:
        What the file is, and its pixels, uint8 `[height, width, 3]`.

    Raises:
        Unusable: the file is one of "unreadable", "empty", "too large", "not JPEG, PNG or WebP",
            "damaged", "animated", "CMYK", "too small" and "gray": one channel, or `is_gray`.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise Unusable("too large")
        contents = path.read_bytes()
    except OSError:
        raise Unusable("unreadable") from None
    if not contents:
        raise Unusable("empty")
    kind = format_of(contents)
    if kind is None:
        raise Unusable("not JPEG, PNG or WebP")
    orientation, height, width = _read_header(contents)
    if min(height, width) // downscale < size:
        raise Unusable("too small")
    try:
        with tf.device("CPU:0"):
            arguments = map(tf.constant, (contents, kind, orientation))
            pixels = decode(*arguments, downscale)
            if is_gray(pixels):
                raise Unusable("gray")
    except tf.errors.OpError:
        raise Unusable("damaged") from None
    digest = hashlib.sha256(contents).digest()
    return PhotoFile(str(path), digest, kind, orientation, *pixels.shape[:2]), pixels.numpy()


def format_of(contents: bytes) -> int | None:
    """Tell JPEG, PNG and WebP by their first bytes; None for anything else."""
    if contents.startswith(b"\xff\xd8\xff"):
        return _JPEG
    if contents.startswith(b"\x89PNG\r\n\x1a\n"):
        return _PNG
    if contents.startswith(b"RIFF") and contents[8:12] == b"WEBP":
        return _WEBP
    return None


def is_gray(pixels: tf.Tensor) -> tf.Tensor:
    """Whether fewer than 1 % of the pixels `[H, W, 3]` have channels more than 8 levels apart."""
    # Channel by channel, as reducing an axis of 3 is slow.
    red, green, blue = tf.unstack(pixels, axis=-1)
    spread = tf.maximum(tf.maximum(red, green), blue) - tf.minimum(tf.minimum(red, green), blue)
    return tf.reduce_mean(tf.cast(spread > _GRAY_LEVELS, tf.float32)) < _GRAY_SHARE


def decode(contents: tf.Tensor, kind: tf.Tensor, orientation: tf.Tensor, downscale: int):
    """Decode a photograph, in a graph or eagerly, alike on every machine.

    Each pixel is the mean of `downscale` x `downscale` pixels of the file (`area_average`), of the
    levels as stored: color profiles are ignored and levels taken for sRGB's. 16-bit channels keep
    their upper 8 bits, and what is transparent is laid on white.

    Args:
        contents: the bytes of the file, a string scalar.
        kind: what `format_of` told, an integer scalar.
        orientation: EXIF orientation 1 .. 8, an integer scalar: mirrored, turned by 180 degrees,
            turned and mirrored; from 5 on, rows and columns change places first.
        downscale: 1 .. 16.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        tf.errors.InvalidArgumentError: the file is truncated, damaged or animated.

    References:
        Exif 2.32 (CIPA DC-008), section 4.6.4, tag Orientation.
    """
    image = tf.switch_case(
        kind,
        [
            # The default, INTEGER_FAST, is less exact.
            lambda: tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE"),
            lambda: _on_white(tf.io.decode_png(contents, channels=4)),
            lambda: _on_white(tf.io.decode_webp(contents)[0]),
        ],
    )
    image = area_average(image, downscale)
    image = tf.cond(orientation > 4, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    mirror = tf.reduce_any(orientation == [2, 3, 6, 7])
    upset = tf.reduce_any(orientation == [3, 4, 7, 8])
    return tf.raw_ops.Reverse(tensor=image, dims=tf.stack([upset, mirror, False]))


def area_average(image: tf.Tensor, downscale: int) -> tf.Tensor:
    """Average uint8 `[H, W, 3]` over squares, to uint8 `[H // downscale, W // downscale, 3]`.

    Means are rounded, halves up; what doesn't fill a square at the bottom and the right is cut off.
    """
    shape = tf.shape(image)[:2] // downscale
    image = image[: shape[0] * downscale, : shape[1] * downscale]
    means = tf.image.resize(image, shape, tf.image.ResizeMethod.AREA)
    # Means are multiples of 1 / downscale**2, so the small number settles all halves alike.
    return tf.cast(means + (0.5 + 1e-3), tf.uint8)


def _on_white(image: tf.Tensor) -> tf.Tensor:
    def blend() -> tf.Tensor:
        levels = tf.cast(image, tf.uint16)
        rgb, alpha = levels[..., :3], levels[..., 3:]
        return tf.cast((rgb * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)

    rgb = tf.cond(tf.shape(image)[-1] == 4, blend, lambda: image)
    return tf.ensure_shape(rgb, [None, None, 3])


def _maybe(path: pathlib.Path) -> bool:
    if path.suffix.lower() in _SUFFIXES:
        # A dead link is reported later, but a named pipe would never end.
        return path.is_file() or not path.exists()
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return format_of(file.read(_HEAD)) is not None
    except OSError:
        return False


def _read_header(contents: bytes) -> tuple[int, int, int]:
    """Return the orientation, and the height and width before turning."""
    orientation = 1
    # Pillow raises almost anything on damage, of the image and of its EXIF data alike.
    try:
        with Image.open(io.BytesIO(contents), formats=("JPEG", "PNG", "WEBP")) as image:
            mode, (width, height) = image.mode, image.size
            # Phones write JPEG files with several pictures; the first is the photograph.
            animated = getattr(image, "is_animated", False) and image.format != "MPO"
            with contextlib.suppress(Exception):
                orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Image.DecompressionBombError:
        raise Unusable("too large") from None
    except Exception:
        raise Unusable("damaged") from None
    if animated:
        raise Unusable("animated")
    if mode == "CMYK":
        raise Unusable("CMYK")
    if mode in _GRAY_MODES:
        raise Unusable("gray")
    return orientation if orientation in range(1, 9) else 1, height, width
