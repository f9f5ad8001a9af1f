"""Images of every mode: one reader, and the same pixels wherever a picture comes in."""

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

from tests.helpers.synthetic_photos import encode, pixels
from tfp_cinn import UsageError
from tfp_cinn.data.image_files import open_image, read_image, to_rgb

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


def pillow(image, format="PNG", **options):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return lambda path: path.write_bytes(encode(image, format, **options))


def png(levels):
    return lambda path: path.write_bytes(tf.io.encode_png(levels).numpy())


def tiff(levels, **options):
    return lambda path: tifffile.imwrite(path, levels, **options)


PALETTE = Image.fromarray(RGB).quantize(50)
ONE_BIT = Image.fromarray(RGB).convert("1")
PRINT = Image.fromarray(RGB).convert("CMYK")
TURNED = Image.Exif()
TURNED[0x0112] = 6
MODES = {
    "RGB": (pillow(RGB), RGB),
    "RGB, lossless WebP": (pillow(RGB, "WEBP", lossless=True), RGB),
    "RGB of 16 bits": (png(DEEP_RGB), RGB),
    "RGBA": (pillow(np.dstack([RGB, ALPHA])), on_white(RGB)),
    "palette, transparent": (
        pillow(PALETTE, transparency=3),
        np.where(np.asarray(PALETTE)[..., None] == 3, 255, np.asarray(PALETTE.convert("RGB"))),
    ),
    "EXIF": (pillow(RGB, exif=TURNED), np.rot90(RGB, -1)),
    "CMYK": (pillow(PRINT, "TIFF"), np.asarray(PRINT.convert("RGB"))),
    "gray, alpha": (pillow(np.dstack([GRAY, ALPHA])), on_white(gray(GRAY))),
    "gray of 16 bits": (png(DEEP[..., np.newaxis]), gray(GRAY)),
    "gray of 16 bits, turned": (pillow(DEEP, exif=TURNED), np.rot90(gray(GRAY), -1)),
    "gray of 16 bits, TIFF": (tiff(DEEP), gray(GRAY)),
    "1 bit": (pillow(ONE_BIT), gray(np.uint8(255) * np.asarray(ONE_BIT))),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_same_picture_gives_the_same_pixels_everywhere(tmp_path, mode):
    write, expected = MODES[mode]
    path = tmp_path / "x"  # without a suffix, as contents decide
    write(path)
    # To the nearest level, up to how halves of transparent ones are rounded.
    np.testing.assert_allclose(to_rgb(open_image(path)).astype(int), expected, rtol=0, atol=1)
    np.testing.assert_array_equal(np.round(255 * read_image(path)), to_rgb(open_image(path)))


@pytest.mark.parametrize(
    "write, why",
    [
        (pillow(Image.new("1", (8000, 8001))), "too large.*at most 64 megapixels"),
        (tiff(GRAY.astype(np.uint32)), "of mode I"),
        (tiff(np.stack([RGB, RGB]), photometric="rgb"), "of several pages"),
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


def test_closed_formats_are_told_by_their_suffix():
    with pytest.raises(UsageError, match="HEIC, AVIF or camera raw .convert it to JPEG"):
        read_image("x.HEIC")
