"""Reading of image files."""

import collections
import contextlib
import io
import os
import pathlib
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tfp_cinn.errors import UsageError

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "Unusable",
    "by_reason",
    "check_image",
    "format_of",
    "open_image",
    "quiet",
    "read_image",
    "to_rgb",
]

MAX_PIXELS = 64_000_000
"""Largest image that `read_image` reads, pixels."""

_RAW = (".dng", ".cr2", ".nef", ".arw")
SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".heic", ".heif", ".avif"),
    *_RAW,
)
"""Suffixes of image files, readable or not."""

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
_EXPECTED = "JPEG, PNG, WebP, TIFF, BMP or GIF"
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
_CLOSED = "HEIC, AVIF or camera raw (convert it to JPEG)"
_MAX_BYTES = 1 << 30
_NAMED = 3  # files of a reason that a summary names
_ORIENTATION, _SUBFILE, _THUMBNAIL = 0x0112, 0x00FE, 1  # TIFF and EXIF tags, and a flag of one
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Unusable(Exception):
    """An image that can't be used; its only argument is the reason in a few words."""


def format_of(head: bytes) -> str | None:
    """Return an image's format from its first 12 bytes; None for anything else."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return "BMP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return "HEIC"
    return None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings of large images and damaged EXIF data; not thread-safe."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


def open_image(path: str | os.PathLike[str], max_pixels: int | None = None) -> Image.Image:
    """Read a file and its header; `to_rgb` decodes it.

    Args:
        path: the file. Its contents determine the format, not its name.
        max_pixels: refuse larger images; None for Pillow's own limit (179 million).

    Raises:
        Unusable: the file is "unreadable", "empty", "damaged", "animated", "too large", or of a
            format that isn't read.
    """
    try:
        path = pathlib.Path(path)
        if path.stat().st_size > _MAX_BYTES:
            raise Unusable("too large")
        contents = path.read_bytes()
    except (OSError, ValueError) as error:
        raise Unusable(getattr(error, "strerror", None) or "unreadable") from None
    if not contents:
        raise Unusable("empty")
    kind = format_of(contents[:12])
    if kind == "HEIC":
        raise Unusable(_CLOSED)
    if kind is None:
        raise Unusable(f"not {_EXPECTED}")
    try:
        image = Image.open(io.BytesIO(contents), formats=_FORMATS)
        frames = getattr(image, "n_frames", 1)
        # The first page of a camera's raw file is a thumbnail.
        thumbnail = image.format == "TIFF" and image.tag_v2.get(_SUBFILE, 0) & _THUMBNAIL
    except Image.DecompressionBombError:
        raise Unusable("too large") from None
    except Exception:  # Pillow raises many kinds for damaged files
        why = "damaged, or TIFF of a mode that isn't read (save it with 8 or 16 bits)"
        raise Unusable(why if kind == "TIFF" else "damaged") from None
    if max_pixels is not None and image.width * image.height > max_pixels:
        raise Unusable("too large")
    if thumbnail or kind == "TIFF" and path.suffix.lower() in _RAW:
        raise Unusable(_CLOSED)
    # Phones write JPEG files with several pictures; the first is the photograph.
    if frames > 1 and image.format != "MPO":
        raise Unusable("animated, or of several pages")
    return image


def to_rgb(image: Image.Image) -> np.ndarray:
    """Decode an image as a viewer shows it.

    Applies the EXIF orientation, and puts transparent pixels on white. Color profiles are ignored:
    levels are taken for sRGB. 16-bit levels are reduced to the upper 8 bits, and floats range from
    0 (black) to 1 (white).

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        Unusable: the file is "damaged", or the level of white is unknown.
    """
    try:
        deep = image.format == "PNG" and image.tile and image.tile[0][3] == "RGB;16B"
        image.load()
        if deep and "transparency" in image.info:
            # Pillow reads such levels as 8 bits, and compares them with 16.
            image.info["transparency"] = tuple(v >> 8 for v in image.info["transparency"])
        # After loading, since Pillow rotates TIFF files itself.
        orientation = 1
        with contextlib.suppress(Exception):
            orientation = image.getexif().get(_ORIENTATION, 1)
        pixels = _levels(image)
    except (Unusable, MemoryError):
        raise
    except Exception:
        raise Unusable("damaged") from None
    # Not every mode can be rotated; 8-bit RGB can.
    turn = _TURNS.get(orientation if isinstance(orientation, int) else 1)
    return pixels if turn is None else np.asarray(Image.fromarray(pixels).transpose(turn))


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an image file of any mode, as `to_rgb` decodes it.

    Returns:
        sRGB in [0, 1], float32 `[H, W, 3]`.

    Raises:
        UsageError: the file is missing, damaged, larger than `MAX_PIXELS`, animated, or of a format
            that isn't read.
    """
    with _refusing(path), quiet():
        return np.divide(to_rgb(open_image(path, MAX_PIXELS)), 255, dtype=np.float32)


def check_image(path: str | os.PathLike[str]) -> None:
    """Check a file's header only; raise the errors of `read_image`."""
    with _refusing(path), quiet():
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
        yield
    except Unusable as reason:
        hint = ""
        if str(reason) == "too large":
            hint = f"; expected at most {MAX_PIXELS / 1e6:.0f} megapixels, make it smaller"
        raise UsageError(f"{path}: can't be read as an image ({reason}){hint}") from None


def _levels(image: Image.Image) -> np.ndarray:
    """Return uint8 `[H, W, 3]`, before the orientation is applied."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        gray, clear = _deep_gray(image)
        return np.repeat(np.where(clear, 255, gray).astype(np.uint8)[..., np.newaxis], 3, axis=-1)
    if image.mode == "LAB":
        raise Unusable("in CIE Lab (convert it to RGB)")
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    rgba = np.asarray(image.convert("RGBA")).astype(np.uint16)
    rgb, alpha = rgba[..., :3], rgba[..., 3:]
    return ((rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _deep_gray(image: Image.Image) -> tuple[np.ndarray, np.ndarray | bool]:
    """Return gray of more than 8 bits as 8-bit levels, and the transparent pixels."""
    # A TIFF file may count levels from white to black, which Pillow respects only up to 8 bits.
    inverted = image.format == "TIFF" and image.tag_v2.get(0x0106) == 0
    levels = np.asarray(image)
    if image.mode == "F":
        if not (levels.min() >= 0 and levels.max() <= 1):  # NaN as well
            raise Unusable("of float levels beyond 0 to 1 (scale them)")
        gray = np.round(255 * levels)
    elif image.mode.startswith("I;16"):
        gray = levels >> 8
    else:
        raise Unusable("of 32-bit levels (convert it to 16 bits)")
    clear = image.info.get("transparency")
    return 255 - gray if inverted else gray, False if clear is None else levels == clear
