"""Reading of image files."""

import collections
import contextlib
import os
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tfp_cinn.errors import UsageError

MAX_PIXELS = 64_000_000
"""Largest image that `read_image` reads, pixels."""

_CLOSED = (".heic", ".heif", ".avif", ".dng", ".cr2", ".nef", ".arw")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", *_CLOSED)
"""Suffixes of image files, readable or not."""

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")  # of 8 bits
_NAMED = 3  # files of a reason that a summary names


class Unusable(Exception):
    """An image that can't be used; its only argument is the reason in a few words."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings of large images and damaged EXIF data; not thread-safe."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


def open_image(path: str | os.PathLike[str], max_pixels: int | None = None) -> Image.Image:
    """Read a file's header; `to_rgb` decodes it.

    Args:
        path: the file. Its contents determine the format, not its name.
        max_pixels: refuse larger images; None for Pillow's own limit (179 million).

    Raises:
        Unusable: the file is missing, damaged, animated, too large, or of a format that isn't read.
    """
    if os.path.splitext(path)[1].lower() in _CLOSED:
        raise Unusable("HEIC, AVIF or camera raw (convert it to JPEG)")
    try:
        image = Image.open(path, formats=_FORMATS)
        frames = getattr(image, "n_frames", 1)
    except UnidentifiedImageError:
        raise Unusable("not JPEG, PNG, WebP, TIFF, BMP or GIF") from None
    except Image.DecompressionBombError:
        raise Unusable("too large") from None
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise Unusable(getattr(error, "strerror", None) or "damaged") from None
    if max_pixels is not None and image.width * image.height > max_pixels:
        raise Unusable("too large")
    # Phones write JPEG files with several pictures; the first is the photograph.
    if frames > 1 and image.format != "MPO":
        raise Unusable("animated, or of several pages")
    return image


def to_rgb(image: Image.Image) -> np.ndarray:
    """Decode an image as a viewer shows it.

    Applies the EXIF orientation, and puts transparent pixels on white. Color profiles are ignored:
    levels are taken for sRGB. 16-bit levels are reduced to the upper 8 bits.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        Unusable: the file is damaged, or of a mode that isn't read.
    """
    try:
        image.load()
        if image.mode.startswith("I;16"):
            levels = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            levels.info["exif"] = image.info.get("exif")
            image = levels
        if image.mode in _MODES:
            with contextlib.suppress(Exception):  # damaged EXIF data
                image = ImageOps.exif_transpose(image)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return np.asarray(image.convert("RGB"))
    except MemoryError:
        raise
    except Exception:
        raise Unusable("damaged") from None
    raise Unusable(f"of mode {image.mode} (save it with 8 or 16 bits)")


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an image file of any mode, as `to_rgb` decodes it.

    Returns:
        sRGB in [0, 1], float32 `[H, W, 3]`.

    Raises:
        UsageError: the file is missing, damaged, larger than `MAX_PIXELS`, animated, or of a format
            that isn't read.
    """
    with _refusing(path):
        return np.divide(to_rgb(open_image(path, MAX_PIXELS)), 255, dtype=np.float32)


def check_image(path: str | os.PathLike[str]) -> None:
    """Check a file's header only; raise the errors of `read_image`."""
    with _refusing(path):
        open_image(path, MAX_PIXELS)


def by_reason(skipped: dict[str, str]) -> str:
    """Count the files skipped for each reason, and name a few of each."""
    paths = collections.defaultdict(list)
    for path, reason in skipped.items():
        paths[reason].append(repr(os.path.basename(path)))
    parts = [
        f"{len(names)} {reason}: {', '.join(names[:_NAMED])}{', ...' * (len(names) > _NAMED)}"
        for reason, names in sorted(paths.items(), key=lambda item: -len(item[1]))
    ]
    return f"{len(skipped)} files" + (f" ({'; '.join(parts)})" if parts else "")


@contextlib.contextmanager
def _refusing(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        with quiet():
            yield
    except Unusable as reason:
        most = f"; expected at most {MAX_PIXELS / 1e6:.0f} megapixels, make it smaller"
        hint = most if str(reason) == "too large" else ""
        raise UsageError(f"{path}: can't be read as an image ({reason}){hint}") from None
