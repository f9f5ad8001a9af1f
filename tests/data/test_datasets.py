"""load: the facts of each data set, its two sources, and the errors of both."""

import gzip
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.helpers.idx_bytes import idx_bytes, write_folder
from tests.helpers.tfds_sets import store
from tfp_cinn import data
from tfp_cinn.data import prepared
from tfp_cinn.errors import UsageError


def random_split(count, seed, shape=(28, 28)):
    random = np.random.RandomState(seed)
    images = random.randint(0, 256, (count, *shape)).astype(np.uint8)
    return images, (np.arange(count) % 10).astype(np.uint8)


TRAIN, TEST = random_split(30, 0), random_split(12, 1)
MNIST = {"train": TRAIN, "test": TEST}


def check_error(message, *args, **kwargs):
    with pytest.raises(UsageError, match=message) as caught:
        data.load(*args, **kwargs)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_digits_facts(digits):
    parts = (digits.train, digits.validation, digits.test)
    assert [len(part.labels) for part in parts] == [1350, 150, 297]
    assert digits.image_shape == (8, 8, 1)
    assert (digits.name, digits.num_classes, digits.levels) == ("digits", 10, 17)
    assert digits.class_names == tuple("0123456789")
    for part in parts:
        assert part.images.dtype == np.uint8 and part.labels.dtype == np.int32
        assert part.images.shape == (len(part.labels), 8, 8, 1)
        assert part.images.min() == 0 and part.images.max() == 16
        assert set(part.labels) == set(range(10))


def test_digits_splits_cover_the_source_once(digits):
    from sklearn.datasets import load_digits

    source = load_digits()
    rows = np.column_stack([source.data, source.target]).astype(int)
    parts = (digits.train, digits.validation, digits.test)
    loaded = np.concatenate(
        [np.column_stack([part.images.reshape(-1, 64), part.labels]) for part in parts]
    )
    # No two of the 1797 are equal, so equal multisets mean that the splits are disjoint.
    assert len(np.unique(rows, axis=0)) == 1797
    np.testing.assert_array_equal(np.unique(loaded, axis=0), np.unique(rows, axis=0))
    assert len(loaded) == 1797
    # At random, as neighbors come from one writer, but always alike.
    assert not np.array_equal(digits.test.labels, source.target[:297])
    np.testing.assert_array_equal(data.load("digits").test.labels, digits.test.labels)


def test_validation_is_held_out_of_the_training_set_only(digits):
    other = data.load("digits", num_validation=0)
    assert len(other.validation.labels) == 0
    np.testing.assert_array_equal(other.test.images, digits.test.images)
    np.testing.assert_array_equal(
        other.train.images, np.concatenate([digits.validation.images, digits.train.images])
    )


def test_mean_and_std_are_of_the_training_bin_centers(digits, tmp_path):
    folder = write_folder(tmp_path, random_split(5000, 3), TEST)
    for loaded in (digits, data.load("mnist", idx_dir=str(folder))):
        centers = loaded.train.images.astype(np.float64) + 0.5
        # Both sums are in float64; only their order differs.
        assert math.isclose(loaded.mean, centers.mean(), rel_tol=1e-9)
        assert math.isclose(loaded.std, centers.std(), rel_tol=1e-9)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digits", {"num_validation": 1500}, r"num_validation is 1500, expected 0..1499"),
        ("folder", {}, "'folder' with folder=None.*set folder with"),
        ("digits", {"idx_dir": "y"}, "'digits' with .*idx_dir='y'"),
        ("cifar10", {"data_dir": "empty"}, "not prepared under empty .*tfds build cifar10"),
        ("mnist", {"idx_dir": "absent"}, "absent lacks train-images.*four IDX files of mnist"),
        ("fashion_mnist", {"idx_dir": "absent"}, "apt-get install dataset-fashion-mnist"),
    ],
)
def test_wrong_arguments(name, options, message):
    check_error(message, name, **options)


@pytest.mark.parametrize(
    ("name", "separator", "suffix", "compress"),
    [("mnist", "-", "", bytes), ("kmnist", ".", ".gz", gzip.compress)],
)
def test_idx_folder(tmp_path, name, separator, suffix, compress):
    folder = write_folder(
        tmp_path, TRAIN, TEST, separator=separator, suffix=suffix, compress=compress
    )
    loaded = data.load(name, idx_dir=str(folder), num_validation=10)
    assert (loaded.name, loaded.num_classes, loaded.levels) == (name, 10, 256)
    assert loaded.class_names[-1] == {"mnist": "9", "kmnist": "wo"}[name]
    assert loaded.image_shape == (28, 28, 1)
    np.testing.assert_array_equal(loaded.validation.images[..., 0], TRAIN[0][:10])
    np.testing.assert_array_equal(loaded.train.images[..., 0], TRAIN[0][10:])
    np.testing.assert_array_equal(loaded.train.labels, TRAIN[1][10:])
    np.testing.assert_array_equal(loaded.test.images[..., 0], TEST[0])
    np.testing.assert_array_equal(loaded.test.labels, TEST[1])


@pytest.mark.parametrize("total, held_out", [(30, 3), (11_000, 1024)])
def test_default_validation_is_the_first_tenth_up_to_1024(tmp_path, total, held_out):
    train = random_split(total, 3, shape=(2, 3))
    folder = write_folder(tmp_path, train, random_split(4, 0, shape=(2, 3)))
    loaded = data.load("letters", idx_dir=str(folder))
    assert loaded.image_shape == (2, 3, 1) and loaded.num_classes == 10
    np.testing.assert_array_equal(loaded.validation.images[..., 0], train[0][:held_out])
    assert len(loaded.train.labels) == total - held_out


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        ("train-images-idx3-ubyte", None, "lacks train-images-idx3-ubyte .plain or .gz"),
        ("train-labels-idx1-ubyte", TRAIN[1][:-1], r"uint8 labels of shape .29,.* the 30 images"),
        ("t10k-images-idx3-ubyte", TEST[0][:, :27], r"shape .27, 28, 1.*of shape .28, 28, 1"),
        ("t10k-labels-idx1-ubyte", np.uint8(10) + TEST[1], "12 of 12 labels are outside 0..9"),
    ],
)
def test_files_that_do_not_match(tmp_path, file, array, message):
    folder = write_folder(tmp_path, TRAIN, TEST)
    if array is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(idx_bytes(array))
    check_error(f"{folder}.*{message}", "mnist", idx_dir=str(folder), num_validation=1)


GOOD = idx_bytes(TRAIN[0])
ZIPPED = gzip.compress(GOOD)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't be read .No such file"),
        (b"", "is not an IDX file of uint8"),
        (b"\x89PNG\r\n\x1a\n", "is not an IDX .* it starts with 89 50 4e 47, expected 00 00 08"),
        (b"\0\0\x08\xff" + bytes(1020), "is not an IDX file.* 1 to 8 dimensions"),
        (GOOD[:-7], f"holds {len(GOOD) - 7} bytes, expected {len(GOOD)} as its header says"),
        (ZIPPED[:-12], "can't be read .Compressed file ended"),
    ],
)
def test_damaged_files(tmp_path, content, message):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=f"{path} {message}") as caught:
        data.read_idx(path)
    assert "\n" not in str(caught.value)


@pytest.mark.long
def test_offline_within_ten_seconds(tmp_path):
    # A proxy that nothing listens on makes any machine offline, through the environment.
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    environment |= {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    code = (
        "import sys, time; from tfp_cinn.data import load; start = time.monotonic()\n"
        "try: load('mnist', data_dir=sys.argv[1])\n"
        "except ValueError as error: print(time.monotonic() - start, error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    seconds, message = result.stdout.strip().split(" ", 1)
    assert float(seconds) < 10
    for words in ("not prepared", "can't be reached", "idx_dir=DIR", "'digits'"):
        assert words in message
    assert "\n" not in message and os.listdir(tmp_path) == []


@pytest.fixture
def offline(monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(prepared, "unreachable", lambda url: pytest.fail("asked the network"))
    # Storing asks Google Cloud Storage about the new data set; tfds's tests turn that off alike.
    monkeypatch.setattr(tfds.core.utils.gcs_utils, "_is_gcs_disabled", True)
    return tfds


def test_prepared_needs_no_network(offline, tmp_path):
    version = str(offline.builder_cls("mnist").VERSION)
    store(tmp_path, "mnist", MNIST, version, classes=10, shape=(28, 28, 1))
    loaded = data.load("mnist", data_dir=str(tmp_path), num_validation=10)
    assert loaded.image_shape == (28, 28, 1) and loaded.class_names[9] == "class 9"
    np.testing.assert_array_equal(loaded.validation.images[..., 0], TRAIN[0][:10])
    np.testing.assert_array_equal(loaded.train.images[..., 0], TRAIN[0][10:])
    np.testing.assert_array_equal(loaded.train.labels, TRAIN[1][10:])
    np.testing.assert_array_equal(loaded.test.images[..., 0], TEST[0])

    (record,) = (tmp_path / "mnist").glob("*/*-train.*")
    record.write_bytes(record.read_bytes()[:-100])
    check_error(f"can't be read under {tmp_path}.*: remove", "mnist", data_dir=str(tmp_path))


@pytest.mark.parametrize("held_out", [(), ("test", "validation")])
def test_any_prepared_set_of_rgb_images(offline, tmp_path, held_out):
    random = np.random.RandomState(0)
    images = [random.randint(0, 256, (9 + k % 3, 8, 3)).astype(np.uint8) for k in range(30)]
    labels = np.arange(30) % 3
    parts = {"train": (images, labels)} | dict.fromkeys(held_out, (images[:5], labels[:5]))
    store(tmp_path, "cifar10", parts, classes=3)
    check_error("3 sizes .9 x 8.*config.data.size", "cifar10", data_dir=str(tmp_path))
    loaded = data.load("cifar10", data_dir=str(tmp_path), size=(9, 8))
    assert (loaded.image_shape, loaded.num_classes, loaded.levels) == ((9, 8, 3), 3, 256)
    sizes = [len(part.labels) for part in (loaded.train, loaded.validation, loaded.test)]
    assert sizes == {0: [25, 2, 3], 1: [27, 3, 5], 2: [30, 5, 5]}[len(held_out)]
    np.testing.assert_array_equal(loaded.test.images[0], images[0 if held_out else 27])
    if not held_out:
        gray = data.load("cifar10", data_dir=str(tmp_path), size=[4, 4], channels=1)
        assert gray.image_shape == (4, 4, 1)


def test_reachable_is_prepared(offline, monkeypatch, tmp_path):
    original = offline.core.DatasetBuilder.download_and_prepare

    def download(builder):
        monkeypatch.setattr(offline.core.DatasetBuilder, "download_and_prepare", original)
        store(tmp_path, "kmnist", MNIST, classes=10, shape=(28, 28, 1))

    monkeypatch.setattr(prepared, "unreachable", lambda url: None)
    monkeypatch.setattr(offline.core.DatasetBuilder, "download_and_prepare", download)
    loaded = data.load("kmnist", data_dir=str(tmp_path), num_validation=2)
    assert loaded.train.images.shape == (28, 28, 28, 1)
