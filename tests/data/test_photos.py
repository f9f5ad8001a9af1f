"""load_photos: which photo is in which split, what is skipped, and the errors."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.helpers.synthetic_photos import encode, pixels, write_folder
from tfp_cinn import data
from tfp_cinn.data import photo_files
from tfp_cinn.errors import UsageError

SMALL = {"size": 8, "downscale": 2}
PARTS = ("train", "validation", "test")


def names(photos, part):
    return {os.path.basename(path) for path in getattr(photos, part).files}


def decoded(split):
    return [photo.numpy() for photo in split.stream(None)]


def check_error(words, *args, **options):
    with pytest.raises(UsageError) as caught:
        data.load_photos(*args, **{**SMALL, **options})
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("photos"), 60)


@pytest.fixture(scope="module")
def photos(folder):
    return data.load_photos(folder, **SMALL)


def test_every_photo_is_in_one_split(photos):
    members = [names(photos, part) for part in PARTS]
    assert all(members)
    assert sum(map(len, members)) == 60 == len(set.union(*members))
    assert photos.skipped == {}
    for part in PARTS:
        split = getattr(photos, part)
        assert split.size == 8
        assert split.shapes.tolist() == [[20, 24]] * len(split.files)
        assert split.pixels.shape == (20 * 24 * len(split.files), 3)


def test_streams_hold_the_downscaled_photos_in_order(photos):
    for part in PARTS:
        split = getattr(photos, part)
        for path, photo in zip(split.files, decoded(split), strict=True):
            image = np.asarray(Image.open(path)).astype(int).reshape(20, 2, 24, 2, 3)
            np.testing.assert_array_equal(photo, (image.sum((1, 3)) + 2) // 4)


def test_a_key_orders_a_stream(photos):
    def order(key):
        return [photo.numpy().tobytes() for photo in photos.train.stream(key)]

    assert sorted(order([0, 1])) == sorted(order(None))
    assert order([0, 1]) == order([0, 1]) != order([0, 2]) != order(None)


def test_photos_that_do_not_fit_are_read_again_to_the_same_pixels(folder, photos):
    exactly = 60 * 20 * 24 * 3
    assert data.load_photos(folder, **SMALL, cache_bytes=exactly).train.pixels is not None
    streamed = data.load_photos(folder, **SMALL, cache_bytes=exactly - 1)
    for part in PARTS:
        cached, other = getattr(photos, part), getattr(streamed, part)
        assert other.pixels is None and other.files == cached.files
        np.testing.assert_array_equal(other.shapes, cached.shapes)
        for one, two in zip(decoded(cached), decoded(other), strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_names_that_are_no_text(tmp_path, cache_bytes):
    path = os.path.join(os.fsencode(tmp_path), b"\xff [*].png")
    with open(path, "wb") as file:
        file.write(encode(pixels(40, 48)))
    options = {**SMALL, "validation_fraction": 0, "test_fraction": 0, "cache_bytes": cache_bytes}
    photos = data.load_photos(tmp_path, **options)
    assert os.fsencode(photos.train.files[0]) == path
    assert [photo.shape for photo in decoded(photos.train)] == [(20, 24, 3)]


def test_names_folders_and_company_do_not_matter(folder, photos, tmp_path):
    """Renamed, moved, half removed, and others added: nobody changes sides, in the same order."""
    kept = [path for part in PARTS for path in getattr(photos, part).files][::2]
    for k, path in enumerate(kept):
        target = tmp_path / str(k % 3) / f"{97 * k % 89}-{os.path.basename(path)}"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    write_folder(tmp_path / "more", 20, first=1000)
    other = data.load_photos(tmp_path, **SMALL, validation_fraction=0.1, test_fraction=0.1)
    for part in PARTS:
        before = [os.path.basename(path) for path in getattr(photos, part).files if path in kept]
        after = [os.path.basename(path).split("-")[-1] for path in getattr(other, part).files]
        assert [name for name in after if name in before] == before
        assert not set(after) & set().union(*(names(photos, p) for p in PARTS if p != part))


def test_fractions(folder, photos):
    assert 2 <= len(photos.test.files) <= 12  # of 60 and 0.1: 3 standard deviations
    more = data.load_photos(folder, **SMALL, validation_fraction=0.3, test_fraction=0.3)
    assert names(photos, "test") < names(more, "test")
    none = data.load_photos(folder, **SMALL, validation_fraction=0, test_fraction=0)
    assert len(none.train.files) == 60
    for part in ("validation", "test"):
        empty = getattr(none, part)
        assert empty.shapes.shape == (0, 2) and decoded(empty) == []


def test_few_photos_are_no_silently_empty_split(tmp_path):
    write_folder(tmp_path, 3)
    words = ["the 3 photos", str(tmp_path), "3 train, 0 validation, 0 test", "add photos"]
    check_error(words, tmp_path)
    alone = data.load_photos(tmp_path, **SMALL, validation_fraction=0, test_fraction=0)
    assert len(alone.train.files) == 3


def test_skipped(tmp_path):
    write_folder(tmp_path / "deep" / "er", 40)
    good = encode(pixels(40, 48, 0))
    bad = {
        "text.jpg": (b"no image", "not JPEG, PNG, WebP, TIFF, BMP or GIF"),
        "cut.jpg": (encode(pixels(40, 48), "JPEG")[:-99], "damaged"),
        "print.jpeg": (encode(Image.fromarray(pixels(40, 48)).convert("CMYK"), "JPEG"), "CMYK"),
        "nothing.webp": (b"", "empty"),
        "gray.PNG": (encode(pixels(40, 48)[..., 0]), "gray"),
        "short.png": (encode(pixels(15, 48)), "too small"),
        "short.tiff": (encode(pixels(15, 48), "TIFF"), "too small"),
        "phone.HEIC": (b"\0\0\0\x18ftypheic", "HEIC, AVIF or camera raw (convert it to JPEG)"),
        "twice.png": (good, "duplicate"),
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
        "0.0 megapixels downscaled by 2; skipped 9 files ("
    )
    assert "2 too small: 'short.png', 'short.tiff'" in photos.summary
    for name, (_, why) in bad.items():
        assert why in photos.summary and repr(name) in photos.summary


def test_large_photos_and_damaged_exif_do_not_warn(tmp_path, monkeypatch, recwarn):
    write_folder(tmp_path, 30)
    (tmp_path / "x.jpg").write_bytes(encode(pixels(40, 48), "JPEG", exif=b"Exif\0\0II*\0"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 48 - 1)
    photos = data.load_photos(tmp_path, **SMALL, validation_fraction=0, test_fraction=0)
    assert photos.skipped == {}
    assert not [warning for warning in recwarn if "PIL" in str(warning.filename)]


def test_missing_and_empty_folders(tmp_path):
    check_error([str(tmp_path / "absent"), "not a folder"], tmp_path / "absent")
    (tmp_path / "file").write_text("x")
    check_error([str(tmp_path / "file"), "not a folder"], tmp_path / "file")
    check_error([str(tmp_path), "no image in it"], tmp_path)


def test_nothing_usable(tmp_path):
    for k in range(3):
        (tmp_path / f"gray{k}.png").write_bytes(encode(pixels(40, 48, k)[..., 0]))
    check_error(
        [
            "no photo that can be used",
            "3 files (3 gray: 'gray0.png', 'gray1.png', 'gray2.png')",
            "16 x 16",
        ],
        tmp_path,
    )
    (tmp_path / "text.jpg").write_text("no image")
    check_error(
        ["4 files (3 gray: ", "; 1 not JPEG, PNG, WebP, TIFF, BMP or GIF: 'text.jpg')"], tmp_path
    )


@pytest.mark.parametrize(
    "options, words",
    [
        ({"size": 0}, ["size is 0", "at least 1"]),
        ({"downscale": 0}, ["downscale is 0", "from 1 to 16"]),
        ({"downscale": 17}, ["downscale is 17"]),
        ({"downscale": 1.5}, ["downscale is 1.5"]),
        ({"test_fraction": -0.1}, ["test_fraction -0.1"]),
        ({"test_fraction": 0.5, "validation_fraction": 0.5}, ["less than 1 together"]),
        ({"validation_fraction": float("nan")}, ["validation_fraction is nan"]),
    ],
)
def test_arguments_out_of_range(folder, options, words):
    check_error(words, folder, **options)


def test_an_unreadable_folder_is_reported(tmp_path, monkeypatch):
    """Root reads everything, so the listing is made to fail instead."""
    write_folder(tmp_path / "open", 30)
    closed = [tmp_path / "closed"]
    find = photo_files.find
    monkeypatch.setattr(photo_files, "find", lambda root: (find(root)[0], closed))
    photos = data.load_photos(tmp_path, **SMALL, validation_fraction=0, test_fraction=0)
    assert photos.skipped == {str(closed[0]): "unreadable"}
    monkeypatch.setattr(photo_files, "find", lambda root: ([], closed))
    check_error(["no image", "1 folders can't be read"], tmp_path)
