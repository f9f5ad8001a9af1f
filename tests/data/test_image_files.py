"""Images of every mode: one reader, and the same pixels wherever a picture comes in."""

import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

from tests.helpers.synthetic_photos import encode, pixels
from tfp_cinn import UsageError, data
from tfp_cinn.data import photo_files
from tfp_cinn.data.image_files import Unusable, open_image, read_image, to_rgb
from tfp_cinn.tasks.color_digits import task as color_digits
from tfp_cinn.tasks.colorization import photographs
from tfp_cinn.tasks.colorization import task as colorization

RGB = pixels(40, 48)
GRAY = RGB[..., 0].copy()
ALPHA = np.random.RandomState(0).choice(np.array([0, 1, 77, 128, 254, 255], np.uint8), (40, 48))
DEEP = GRAY.astype(np.uint16) * 256 + 200
DEEP_RGB = RGB.astype(np.uint16) * 256 + 200


def on_white(image, alpha=ALPHA):
    share = (alpha / 255)[..., np.newaxis]
    return np.round(share * image + (1 - share) * 255)


def gray(levels):
    return np.repeat(levels[..., np.newaxis], 3, axis=-1)


def palette(**options):
    image = Image.fromarray(RGB).quantize(50)
    expected = np.asarray(image.convert("RGB")).copy()
    if options:
        expected[np.asarray(image) == options["transparency"]] = 255
    return image, expected


def pillow(image, format="PNG", **options):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return lambda path: path.write_bytes(encode(image, format, **options))


def png(levels):
    return lambda path: path.write_bytes(tf.io.encode_png(levels).numpy())


def transparent_png(levels, clear):
    contents = tf.io.encode_png(levels).numpy()
    chunk = b"tRNS" + struct.pack(">3H", *clear)
    chunk = struct.pack(">I", 6) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return lambda path: path.write_bytes(contents[:33] + chunk + contents[33:])


def tiff(levels, **options):
    return lambda path: tifffile.imwrite(path, levels, **options)


ONE_BIT = Image.fromarray(RGB).convert("1")
PRINT = Image.fromarray(RGB).convert("CMYK")
TURNED = Image.Exif()
TURNED[0x0112] = 6
MODES = {
    "RGB": (pillow(RGB), RGB),
    "RGB, lossless WebP": (pillow(RGB, "WEBP", lossless=True), RGB),
    "RGB, BMP": (pillow(RGB, "BMP"), RGB),
    "RGB, TIFF": (pillow(RGB, "TIFF"), RGB),
    "RGB, one color transparent": (
        pillow(RGB, transparency=tuple(map(int, RGB[0, 0]))),
        np.where((RGB[0, 0] == RGB).all(-1, keepdims=True), 255, RGB),
    ),
    "RGB of 16 bits": (png(DEEP_RGB), RGB),
    "RGB of 16 bits, one color transparent": (
        transparent_png(DEEP_RGB, DEEP_RGB[0, 0]),
        np.where((RGB[0, 0] == RGB).all(-1, keepdims=True), 255, RGB),
    ),
    "RGB of 16 bits, TIFF": (tiff(DEEP_RGB, photometric="rgb"), RGB),
    "RGBA": (pillow(np.dstack([RGB, ALPHA])), on_white(RGB)),
    "RGBA of 16 bits": (
        png(np.dstack([DEEP_RGB, ALPHA.astype(np.uint16) * 257])),
        on_white(RGB),
    ),
    "RGBA, WebP": (
        pillow(np.dstack([RGB, ALPHA]), "WEBP", lossless=True, exact=True),
        on_white(RGB),
    ),
    "RGBA, TIFF": (
        tiff(np.dstack([RGB, ALPHA]), photometric="rgb", extrasamples=["unassalpha"]),
        on_white(RGB),
    ),
    "palette": (pillow(palette()[0]), palette()[1]),
    "palette, transparent": (
        pillow(palette()[0], transparency=3),
        palette(transparency=3)[1],
    ),
    "palette, GIF": (pillow(palette()[0], "GIF"), palette()[1]),
    "EXIF": (pillow(RGB, exif=TURNED), np.rot90(RGB, -1)),
    "EXIF, TIFF": (pillow(RGB, "TIFF", exif=TURNED), np.rot90(RGB, -1)),
    "CMYK": (pillow(PRINT, "TIFF"), np.asarray(PRINT.convert("RGB"))),
    "gray": (pillow(GRAY), gray(GRAY)),
    "gray, alpha": (pillow(np.dstack([GRAY, ALPHA])), on_white(gray(GRAY))),
    "gray of 16 bits": (png(DEEP[..., np.newaxis]), gray(GRAY)),
    "gray of 16 bits, turned": (pillow(DEEP, exif=TURNED), np.rot90(gray(GRAY), -1)),
    "gray of 16 bits, one level transparent": (
        pillow(DEEP, transparency=int(DEEP[0, 0])),
        gray(np.where(GRAY[0, 0] == GRAY, 255, GRAY)),
    ),
    "gray of 16 bits, TIFF": (tiff(DEEP), gray(GRAY)),
    "gray of 16 bits, big-endian": (tiff(DEEP, byteorder=">"), gray(GRAY)),
    "gray of 16 bits, white is zero": (tiff(65535 - DEEP, photometric="miniswhite"), gray(GRAY)),
    "gray of floats": (tiff(np.float32(GRAY / 255)), gray(GRAY)),
    "1 bit": (pillow(ONE_BIT), gray(np.uint8(255) * np.asarray(ONE_BIT))),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_same_picture_gives_the_same_pixels_everywhere(tmp_path, mode):
    write, expected = MODES[mode]
    path = tmp_path / "x"  # without a suffix, as contents decide
    write(path)
    # To the nearest level, up to how halves of transparent ones are rounded.
    np.testing.assert_allclose(to_rgb(open_image(path)).astype(int), expected, rtol=0, atol=1)
    levels = np.round(255 * read_image(path))
    np.testing.assert_array_equal(levels, to_rgb(open_image(path)))
    # Training takes color alone, from memory or from disk again.
    if mode == "CMYK" or mode.startswith(("gray", "1 bit")):
        with pytest.raises(Unusable, match="CMYK|gray"):
            photo_files.read(path, size=8, downscale=1)
        return
    options = {"size": 8, "downscale": 1, "validation_fraction": 0, "test_fraction": 0}
    for cache_bytes in (0, 1 << 30):
        photos = data.load_photos(tmp_path, **options, cache_bytes=cache_bytes)
        (photo,) = photos.train.stream(None)
        np.testing.assert_array_equal(photo, levels)


def test_whoever_colors_reads_by_it():
    for module in (photographs, colorization, color_digits):
        assert module.read_image is read_image


@pytest.mark.parametrize(
    "write, why",
    [
        (pillow(Image.new("1", (8000, 8001))), "too large.*at most 64 megapixels"),
        (tiff(np.float32(GRAY)), "of float levels beyond 0 to 1"),
        (tiff(np.full((9, 9), np.nan, np.float32)), "of float levels beyond 0 to 1"),
        (tiff(RGB / 255, photometric="rgb"), "TIFF of a mode that isn't read"),
        (tiff(GRAY.astype(np.uint32)), "of 32-bit levels"),
        (tiff(np.stack([RGB, RGB]), photometric="rgb"), "of several pages"),
        (tiff(RGB, photometric="rgb", subfiletype=1), "camera raw .convert it to JPEG"),
        (lambda path: path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(99)), "HEIC.*convert it"),
        (lambda path: path.write_text("text"), "not JPEG, PNG, WebP, TIFF, BMP or GIF"),
        (lambda path: None, "No such file"),
    ],
)
def test_what_can_not_be_read_is_told_in_one_line(tmp_path, write, why):
    path = tmp_path / "x.jpg"
    write(path)
    with pytest.raises(UsageError, match=rf"x\.jpg: can't be read as an image \(.*{why}") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
