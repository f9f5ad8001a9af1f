"""Folders of images, one a class: any file, any size, a stable split, and what is refused."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from tfp_cinn import data
from tfp_cinn.errors import UsageError

SUFFIXES = ("png", "webp", "jpg")


def pixels(seed, shape=(6, 8, 3)):
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def write(root, name, array, suffix="png"):
    path = root / f"{name}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **({"lossless": True} if suffix == "webp" else {}))
    return path


def fill(root, classes="ab", count=10, **shape):
    for c, name in enumerate(classes):
        for k in range(count):
            write(root, f"{name}/deep/{k}", pixels(100 * c + k, **shape), SUFFIXES[k % 2])
    return root


def load(root, **options):
    return data.load("folder", folder=str(root), **options)


def contents(images):
    parts = (images.train, images.validation, images.test)
    return [{x.tobytes() for x in part.images} for part in parts]


def test_all_images_once_in_a_split_that_names_and_additions_leave_alone(tmp_path):
    fill(tmp_path, count=30)
    images = load(tmp_path)
    assert images.class_names == ("a", "b") and images.image_shape == (6, 8, 3)
    assert (images.name, images.levels) == (tmp_path.name, 256)
    train, validation, test = contents(images)
    assert len(train | validation | test) == 60 == len(train) + len(validation) + len(test)
    expected = set()
    for c, name in enumerate("ab"):
        for k in range(30):
            file = tmp_path / f"{name}/deep/{k}.{SUFFIXES[k % 2]}"
            if hashlib.sha256(file.read_bytes()).digest()[0] < 0.1 * 256 - 1:
                expected.add(pixels(100 * c + k).tobytes())
            file.rename(file.with_name(f"renamed_{99 - k}.PNG"))  # its bytes tell what it is
    assert expected <= test and len(test) - len(expected) <= 1
    np.testing.assert_array_equal(images.test.images, load(tmp_path).test.images)
    for k in range(20):
        write(tmp_path, f"b/new{k}", pixels(1000 + k))
    more = contents(load(tmp_path))
    assert test <= more[2] and not test & (more[0] | more[1])
    labels = {x.tobytes(): label for x, label in zip(*images.train, strict=True)}
    assert all(labels.get(pixels(k).tobytes(), 0) == 0 for k in range(30))


def test_every_class_has_an_image_to_train_and_one_to_test(tmp_path):
    images = load(fill(tmp_path, classes="abcdefgh", count=2))
    assert set(images.train.labels) == set(images.test.labels) == set(range(8))
    assert len(images.train.labels) + len(images.validation.labels) == 8


@pytest.mark.parametrize("held_out", [("test",), ("val",), ("test", "validation")])
def test_folders_of_splits_are_heeded(tmp_path, held_out):
    for n, part in enumerate(("train", *held_out)):
        for name in ("1", "2", "10"):
            write(tmp_path, f"{part}/{name}/x", pixels(10 * n + int(name)))
    images = load(tmp_path, num_validation=1)
    assert images.class_names == ("1", "2", "10")
    assert set(images.test.labels) == {0, 1, 2}
    assert pixels(11).tobytes() in contents(images)[2]
    assert len(images.validation.labels) == (3 if len(held_out) > 1 else 1)
    write(tmp_path, f"{held_out[0]}/other/x", pixels(5))
    with pytest.raises(UsageError, match="class 'other', which train lacks"):
        load(tmp_path)


def test_gray_where_all_are_gray(tmp_path):
    fill(tmp_path, shape=(6, 8))
    write(tmp_path, "a/gray_in_rgb", np.repeat(pixels(1, (6, 8, 1)), 3, axis=-1))
    assert load(tmp_path).image_shape == (6, 8, 1)
    assert load(tmp_path, channels=3).image_shape == (6, 8, 3)
    write(tmp_path, "a/color", pixels(2))
    assert load(tmp_path).image_shape == (6, 8, 3)
    assert load(tmp_path, channels=1).image_shape == (6, 8, 1)


@pytest.mark.parametrize("resize, red", [("crop", 0), ("stretch", 127)])
def test_sizes(tmp_path, resize, red):
    # Half of the first and of the last quarter is red, which a crop cuts off.
    wide = np.zeros((4, 16, 3), np.uint8)
    wide[:, :2, 0] = wide[:, -2:, 0] = 255
    for k in range(2):
        wide[0, 8, 1] = k
        write(tmp_path, f"a/{k}", wide)
    images = load(tmp_path, size=(2, 4), resize=resize, num_validation=0)
    assert images.image_shape == (2, 4, 3)
    # Smoothing weighs the pixels of a quarter differently.
    np.testing.assert_allclose(images.train.images[0, :, [0, 3], 0], red, atol=30)
    assert images.train.images[0, :, 1:3, 0].max() < 30


def test_what_cannot_be_read_is_counted_and_named(tmp_path):
    fill(tmp_path)
    (tmp_path / "a" / "cut.png").write_bytes((tmp_path / "a/deep/0.png").read_bytes()[:60])
    (tmp_path / "a" / "text.jpg").write_text("none")
    write(tmp_path, "a/again", pixels(2))
    (tmp_path / ".hidden").mkdir()
    images = load(tmp_path)
    for words in ("2 classes", "3 files", "1 damaged: 'cut.png'", "'text.jpg'", "1 duplicate"):
        assert words in images.summary
    assert sum(map(len, contents(images))) == 20


def test_wrong_folders_are_told_in_one_line(tmp_path):
    write(tmp_path, "x", pixels(0))
    check_error("has no folders in it.*one folder a class", tmp_path)
    write(fill(tmp_path), "a/x", pixels(0, (5, 5, 3)))
    check_error(r"2 sizes \(5 x 5, 6 x 8, ...\).*config.data.size=", tmp_path)
    for name, value in (("size", (0, 4)), ("channels", 2), ("resize", "pad"), ("test_fraction", 1)):
        check_error(f"{name} is ", tmp_path, **{name: value})
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "x.png").write_text("none")
    check_error("c: the class has 0 images.*expected 2 or more.*skipped 1 files.*'x.png'", tmp_path)


def check_error(words, root, **options):
    with pytest.raises(UsageError, match=words) as caught:
        load(root, **options)
    assert "\n" not in str(caught.value)
