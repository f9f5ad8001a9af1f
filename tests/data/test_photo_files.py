"""Photo files: the pixels of every format, and one reason for every file that can't be used."""

import os
import struct
import zlib

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests.helpers.synthetic_photos import encode, pixels
from tfp_cinn.data import photo_files
from tfp_cinn.data.image_files import Unusable

PIXELS = pixels(61, 83)
GRAY = np.repeat(PIXELS[..., :1], 3, axis=-1)

shared_folder = hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)


def read(path, contents, *, size=8, downscale=1):
    path.write_bytes(contents)
    return photo_files.read(path, size=size, downscale=downscale)


def reason(path, contents, **options):
    with pytest.raises(Unusable) as caught:
        read(path, contents, **options)
    return str(caught.value)


def expected_mean(image, k):
    """Means over k x k pixels, halves rounded up, in whole numbers."""
    h, w = image.shape[0] // k, image.shape[1] // k
    squares = image[: h * k, : w * k].astype(np.int64).reshape(h, k, w, k, 3)
    return (2 * squares.sum((1, 3)) + k**2) // (2 * k**2)


@pytest.mark.parametrize("downscale", range(1, 17))
@pytest.mark.parametrize("height, width", [(64, 48), (63, 50), (47, 16)])
def test_downscaling_is_the_mean_over_squares(downscale, height, width):
    image = np.random.RandomState(downscale).randint(0, 256, (height, width, 3)).astype(np.uint8)
    # Every second column one more: half of the means of flat squares end in 1/2.
    image[:, : width // 2] = 100 + np.arange(width // 2)[:, None] % 2
    result = photo_files.area_average(tf.constant(image), downscale).numpy()
    np.testing.assert_array_equal(result, expected_mean(image, downscale))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    contents = encode(PIXELS, format, exif=exif)
    file, result = read(tmp_path / "x", contents)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "x")))
    np.testing.assert_array_equal(result, expected)
    assert (file.height, file.width) == expected.shape[:2]
    _, halved = read(tmp_path / "x", contents, downscale=2)
    assert halved.shape == (expected.shape[0] // 2, expected.shape[1] // 2, 3)


def orientation_tag(kind, count, value):
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHI4s", 1, 0x0112, kind, count, value)


@pytest.mark.parametrize(
    "exif",
    [
        orientation_tag(3, 1, b"\0\0\0\0"),
        orientation_tag(3, 1, b"\x09\0\0\0"),
        orientation_tag(2, 4, b"six\0"),
        orientation_tag(5, 1, b"\xff\xff\xff\x7f"),
        orientation_tag(3, 1, b"\x06\0\0\0")[:-9],
        b"Exif\0\0garbage",
        b"Exif\0\0",
    ],
)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_nonsense_in_exif_is_ignored(tmp_path, format, exif):
    _, expected = read(tmp_path / "x", encode(PIXELS, format))
    np.testing.assert_array_equal(
        read(tmp_path / "x", encode(PIXELS, format, exif=exif))[1], expected
    )


def test_several_pictures_in_a_jpeg_of_a_phone(tmp_path):
    more = {"save_all": True, "append_images": [Image.fromarray(255 - PIXELS)]}
    contents = encode(PIXELS, "MPO", **more)
    _, result = read(tmp_path / "x.jpg", contents)
    assert Image.open(tmp_path / "x.jpg").n_frames == 2
    np.testing.assert_array_equal(result, np.asarray(Image.open(tmp_path / "x.jpg")))


def animation(format):
    frames = [Image.fromarray(np.roll(PIXELS, 9 * k, axis=1)) for k in range(3)]
    return encode(frames[0], format, save_all=True, append_images=frames[1:], duration=50)


def tinted(share):
    """Gray but for a share of the pixels, whose channels are 9 levels apart."""
    image = np.full((100, 100, 3), 100, np.uint8)
    image.reshape(-1, 3)[: round(share * 10_000), 2] += 9
    return image


def header_of(width, height, compressed=b""):
    """A PNG file that announces much and holds little."""
    chunks = (
        (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", compressed),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


@pytest.mark.parametrize(
    "contents, why",
    [
        (b"", "empty"),
        (b"All work and no play makes Jack a dull boy", "not JPEG, PNG, WebP, TIFF, BMP or GIF"),
        (b"\xff", "not JPEG, PNG, WebP, TIFF, BMP or GIF"),
        (animation("GIF"), "animated, or of several pages"),
        (b"\xff\xd8\xff", "damaged"),
        (encode(PIXELS, "JPEG")[:-500], "damaged"),
        (encode(PIXELS, "JPEG", progressive=True)[:-500], "damaged"),
        (encode(PIXELS)[:-500], "damaged"),
        (encode(PIXELS, "WEBP")[:-100], "damaged"),
        (header_of(100, 100, zlib.compress(bytes(1000))), "damaged"),
        (animation("WEBP"), "animated, or of several pages"),
        (animation("PNG"), "animated, or of several pages"),
        (encode(Image.fromarray(PIXELS).convert("CMYK"), "JPEG"), "CMYK"),
        (encode(PIXELS[..., 0], "JPEG"), "gray"),
        (encode(PIXELS[..., 0]), "gray"),
        (encode(Image.fromarray(PIXELS).convert("LA")), "gray"),
        (encode(Image.fromarray(PIXELS).convert("1")), "gray"),
        (encode(PIXELS[..., 0].astype(np.uint16) * 256), "gray"),
        (encode(GRAY, "JPEG"), "gray"),
        (encode(GRAY), "gray"),
        (encode(GRAY, "WEBP"), "gray"),
        (encode(Image.fromarray(GRAY).quantize(50)), "gray"),
        (encode(tinted(0.0099)), "gray"),
        (encode(PIXELS[:7]), "too small"),
        (encode(PIXELS[:, :7]), "too small"),
        (header_of(20_000, 20_000), "too large"),
    ],
)
@pytest.mark.parametrize("name", ["x.jpg", "x"])
def test_unusable(tmp_path, name, contents, why):
    assert reason(tmp_path / name, contents) == why


def test_limits_are_sharp(tmp_path):
    assert read(tmp_path / "x", encode(tinted(0.01)))[1].shape == (100, 100, 3)
    assert read(tmp_path / "x", encode(PIXELS[:8]))[1].shape == (8, 83, 3)
    assert read(tmp_path / "x", encode(PIXELS[:16]), downscale=2)[1].shape == (8, 41, 3)
    assert reason(tmp_path / "x", encode(PIXELS[:15]), downscale=2) == "too small"


def test_nothing_is_decoded_of_what_the_header_rules_out(tmp_path, monkeypatch):
    monkeypatch.setattr(photo_files, "to_rgb", lambda *_: pytest.fail("decoded"))
    assert reason(tmp_path / "x.png", header_of(20_000, 20_000)) == "too large"
    assert reason(tmp_path / "x.png", encode(PIXELS[:7])) == "too small"
    assert reason(tmp_path / "x.png", encode(PIXELS[..., 0])) == "gray"


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "x.jpg"
    with path.open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(1 << 40)  # sparse: takes no room
    with pytest.raises(Unusable, match="too large"):
        photo_files.read(path, size=8, downscale=1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(encode(PIXELS))
    path.chmod(0)
    with pytest.raises(Unusable, match="Permission denied"):
        photo_files.read(path, size=8, downscale=1)


@shared_folder
@hypothesis.given(
    format=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    cut=st.integers(0, 3000),
    flips=st.lists(st.integers(0, 30_000), max_size=4),
)
def test_whatever_is_damaged_is_read_or_unusable(tmp_path, format, cut, flips):
    contents = bytearray(encode(PIXELS, format))
    for flip in flips:
        contents[flip // 8 % len(contents)] ^= 1 << flip % 8
    try:
        file, result = read(tmp_path / "x", bytes(contents[: max(0, len(contents) - cut)]))
    except Unusable as error:
        assert str(error)
    else:
        assert result.shape == (file.height, file.width, 3)


def test_find(tmp_path):
    for name in ("b/c/deep.JPG", "a.webp", "b/text.png", "b/without-suffix", "notes.txt", "z.jpeg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = name in ("a.webp", "b/without-suffix")
        path.write_bytes(encode(PIXELS, "WEBP") if image else b"text")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "b" / "c")
    (tmp_path / "dead.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    files, closed = photo_files.find(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in files]
    # "again" is entered before "b/c", which is the same folder.
    assert names == [
        "a.webp",
        "again/deep.JPG",
        "b/text.png",
        "b/without-suffix",
        "dead.png",
        "z.jpeg",
    ]
    assert closed == []
    with pytest.raises(Unusable, match="No such file"):
        photo_files.read(tmp_path / "dead.png", size=8, downscale=1)
