"""Photographs in a folder: which can be used, their pixels, and which split each is in."""

import contextlib
import os
import shutil

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.synthetic_photos import encode, pixels, write_folder
from tfp_cinn import data
from tfp_cinn.data import photo_files
from tfp_cinn.data.image_files import Unusable
from tfp_cinn.errors import UsageError

PIXELS = pixels(61, 83)
GRAY = np.repeat(PIXELS[..., :1], 3, axis=-1)
SMALL = {"size": 8, "downscale": 2}
ALL = {"validation_fraction": 0, "test_fraction": 0}
PARTS = ("train", "validation", "test")


def names(photos, part):
    return {os.path.basename(path) for path in getattr(photos, part).files}


def decoded(split):
    return [photo.numpy() for photo in split.stream(None)]


def check_error(message, *args, **options):
    with pytest.raises(UsageError, match=message) as caught:
        data.load_photos(*args, **{**SMALL, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("downscale", [1, 2, 7, 16])
@pytest.mark.parametrize("height, width", [(47, 16)])
def test_downscaling_is_the_mean_over_squares(downscale, height, width):
    image = np.random.RandomState(downscale).randint(0, 256, (height, width, 3)).astype(np.uint8)
    # Every second column one more: half of the means of flat squares end in 1/2.
    image[:, : width // 2] = 100 + np.arange(width // 2)[:, None] % 2
    result = photo_files.area_average(tf.constant(image), downscale).numpy()
    h, w = height // downscale, width // downscale
    squares = image[: h * downscale, : w * downscale].astype(int)
    sums = squares.reshape(h, downscale, w, downscale, 3).sum((1, 3))
    # Halves are rounded up, in whole numbers.
    np.testing.assert_array_equal(result, (2 * sums + downscale**2) // (2 * downscale**2))


def tinted(share):
    """Gray but for a share of the pixels, whose channels are 9 levels apart."""
    image = np.full((100, 100, 3), 100, np.uint8)
    image.reshape(-1, 3)[: round(share * 10_000), 2] += 9
    return image


@pytest.mark.parametrize(
    "contents, why",
    [
        (encode(Image.fromarray(PIXELS).convert("CMYK"), "JPEG"), "CMYK"),
        (encode(tinted(0.0099)), "gray"),
        (encode(PIXELS[:7]), "too small"),
    ],
)
def test_unusable(tmp_path, contents, why):
    (tmp_path / "x").write_bytes(contents)
    with pytest.raises(Unusable, match=f"^{why}$"):
        photo_files.read(tmp_path / "x", size=8, downscale=1)


def test_just_usable(tmp_path):
    for image in (tinted(0.01), PIXELS[:8]):
        (tmp_path / "x").write_bytes(encode(image))
        assert (photo_files.read(tmp_path / "x", size=8, downscale=1) == image).all()


@hypothesis.settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    format=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    cut=st.integers(0, 3000),
    flips=st.lists(st.integers(0, 30_000), max_size=4),
)
def test_whatever_is_damaged_is_read_or_unusable(tmp_path, format, cut, flips):
    contents = bytearray(encode(PIXELS, format))
    for flip in flips:
        contents[flip // 8 % len(contents)] ^= 1 << flip % 8
    (tmp_path / "x").write_bytes(contents[: max(0, len(contents) - cut)])
    with contextlib.suppress(Unusable):
        assert photo_files.read(tmp_path / "x", size=8, downscale=1).shape[-1] == 3


def test_find(tmp_path):
    for name in ("b/c/deep.JPG", "a.webp", "b/text.png", "b/without-suffix", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"text")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "b" / "c")
    (tmp_path / "dead.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    found = [path.relative_to(tmp_path).as_posix() for path in photo_files.find(tmp_path)]
    # "again" is entered before "b/c", which is the same folder.
    assert found == ["a.webp", "again/deep.JPG", "b/text.png", "dead.png"]
    with pytest.raises(Unusable, match="No such file"):
        photo_files.read(tmp_path / "dead.png", size=8, downscale=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("photos"), 60)


@pytest.fixture(scope="module")
def photos(folder):
    return data.load_photos(folder, **SMALL)


def test_every_photo_is_in_one_split_with_its_downscaled_pixels(photos):
    members = [names(photos, part) for part in PARTS]
    assert all(members)
    assert sum(map(len, members)) == 60 == len(set.union(*members))
    assert photos.skipped == {}
    for part in PARTS:
        split = getattr(photos, part)
        assert split.shapes.tolist() == [[20, 24]] * len(split.files)
        for path, photo in zip(split.files, decoded(split), strict=True):
            image = np.asarray(Image.open(path)).astype(int).reshape(20, 2, 24, 2, 3)
            np.testing.assert_array_equal(photo, (image.sum((1, 3)) + 2) // 4)


def test_photos_that_do_not_fit_are_read_again_to_the_same_pixels(folder, photos):
    orders = [
        [photo.numpy().tobytes() for photo in photos.train.stream(key)]
        for key in ([0, 1], [0, 1], [0, 2])
    ]
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2])
    streamed = data.load_photos(folder, **SMALL, cache_bytes=60 * 20 * 24 * 3 - 1)
    for part in PARTS:
        cached, other = getattr(photos, part), getattr(streamed, part)
        assert other.files == cached.files
        for one, two in zip(decoded(cached), decoded(other), strict=True):
            np.testing.assert_array_equal(one, two)


def test_a_photo_that_is_gone_is_named(tmp_path):
    write_folder(tmp_path, 3)
    split = data.load_photos(tmp_path, **SMALL, **ALL, cache_bytes=0).train
    (tmp_path / "1.png").unlink()
    with pytest.raises(tf.errors.OpError, match="1.png; No such file"):
        decoded(split)


def test_names_folders_and_company_do_not_matter(photos, tmp_path):
    """Renamed, moved, half removed, and others added: nobody changes sides, in the same order."""
    kept = [path for part in PARTS for path in getattr(photos, part).files][::2]
    for k, path in enumerate(kept):
        target = tmp_path / str(k % 3) / f"{97 * k % 89}-{os.path.basename(path)}"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    write_folder(tmp_path / "more", 20, first=1000)
    other = data.load_photos(tmp_path, **SMALL)
    for part in PARTS:
        before = [os.path.basename(path) for path in getattr(photos, part).files if path in kept]
        after = [os.path.basename(path).split("-")[-1] for path in getattr(other, part).files]
        assert [name for name in after if name in before] == before
        assert not set(after) & set().union(*(names(photos, p) for p in PARTS if p != part))


def test_fractions(folder, photos):
    assert 2 <= len(photos.test.files) <= 12  # of 60 and 0.1: 3 standard deviations
    more = data.load_photos(folder, **SMALL, validation_fraction=0.3, test_fraction=0.3)
    assert names(photos, "test") < names(more, "test")
    none = data.load_photos(folder, **SMALL, **ALL)
    assert len(none.train.files) == 60
    assert none.test.shapes.shape == (0, 2) and decoded(none.test) == []


def test_skipped(tmp_path):
    write_folder(tmp_path / "deep" / "er", 40)
    bad = {
        "cut.jpg": (encode(pixels(40, 48), "JPEG")[:-99], "damaged"),
        "gray.PNG": (encode(pixels(40, 48)[..., 0]), "gray"),
        "short.png": (encode(pixels(15, 48)), "too small"),
        "short.tiff": (encode(pixels(15, 48), "TIFF"), "too small"),
        "twice.png": (encode(pixels(40, 48, 0)), "duplicate"),
    }
    for name, (contents, _) in bad.items():
        (tmp_path / name).write_bytes(contents)
    (tmp_path / "LICENSES.md").write_text("no photo")
    photos = data.load_photos(tmp_path, **SMALL)
    # The first by path is kept, and "deep/er/0.png" comes before "twice.png".
    assert photos.skipped == {str(tmp_path / name): why for name, (_, why) in bad.items()}
    counts = [len(getattr(photos, part).files) for part in PARTS]
    assert sum(counts) == 40
    assert photos.summary.startswith(
        f"{tmp_path}: {counts[0]} train, {counts[1]} validation, {counts[2]} test photos, "
        "0.0 megapixels downscaled by 2; skipped 5 files (2 too small: 'short.png', 'short.tiff'; "
    )


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        (None, {}, "is not a folder"),
        ({}, {}, "it has no image in it or below"),
        (
            {"a.png": encode(PIXELS[..., 0]), "b.jpg": b"text"},
            {},
            r"no photo that can be used: skipped 2 files .1 gray: 'a.png'; .* at least 16 x 16",
        ),
        (
            {f"{k}.png": encode(pixels(40, 48, k)) for k in range(3)},
            {},
            "the 3 photos of .* fall into 3 train, 0 validation, 0 test: add photos",
        ),
        ({}, {"size": 0}, "size is 0, expected at least 1"),
        ({}, {"downscale": 17}, "downscale is 17, expected .* from 1 to 16"),
        ({}, {"test_fraction": 0.5, "validation_fraction": 0.5}, "less than 1 together"),
    ],
)
def test_wrong_input_is_one_line(tmp_path, files, options, message):
    for name, contents in (files or {}).items():
        (tmp_path / name).write_bytes(contents)
    check_error(message, tmp_path / "absent" if files is None else tmp_path, **options)
