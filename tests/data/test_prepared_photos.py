"""load_prepared_photos: what TensorFlow Datasets has prepared, and fast errors offline."""

import socket

import numpy as np
import pytest

from tests.helpers.synthetic_photos import pixels
from tests.helpers.tfds_sets import store
from tfp_cinn import data
from tfp_cinn.errors import UsageError

SIZE = 8


def examples(count, seed):
    random = np.random.RandomState(seed)
    shapes = random.randint(2 * SIZE, 60, (count, 2))
    return [pixels(*shape, seed=100 * seed + k) for k, shape in enumerate(shapes)]


TRAIN, TEST = examples(12, 0), examples(5, 1)
TRAIN[3] = TRAIN[3][: 2 * SIZE - 1]
TRAIN[7] = np.repeat(TRAIN[7][..., :1], 3, axis=-1)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    import tensorflow_datasets as tfds

    path = tmp_path_factory.mktemp("[tfds]")  # whose brackets are no pattern
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfds.core.utils.gcs_utils, "_is_gcs_disabled", True)
        splits = {"train": TRAIN, "validation": TEST}
        store(path, "coco", splits, "1.1.0", "2017")
        store(path, "imagenet2012", {"train": TEST, "validation": TEST}, "5.0.0")
        store(path, "imagenet2012", {**splits, "test": TEST[:1]}, "5.1.0")
        store(path, "food101", {"train": TRAIN})
        gray = [image[..., :1] for image in TEST]
        store(path, "grays", {"train": gray, "test": gray}, shape=(None, None, 1))
    return path


@pytest.fixture(autouse=True)
def no_network(monkeypatch, root):
    def refuse(*args):
        pytest.fail("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def halved(rows):
    images = [image.astype(int) for image in rows]
    shapes = [(image.shape[0] // 2, image.shape[1] // 2) for image in images]
    return [
        (image[: 2 * h, : 2 * w].reshape(h, 2, w, 2, 3).sum((1, 3)) + 2) // 4
        for image, (h, w) in zip(images, shapes, strict=True)
    ]


@pytest.mark.parametrize("name", ["coco/2017", "imagenet2012"])
def test_splits(root, name, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    photos = data.load_prepared_photos(name, size=SIZE, num_validation=5)
    assert photos.name == name
    assert "7 train, 5 validation, 5 test photos" in photos.summary
    expected = {
        "train": [*TRAIN[5:7], *TRAIN[8:]],  # without the gray one
        "validation": [*TRAIN[:3], TRAIN[4]],  # without the small one
        "test": TEST,
    }
    for part, rows in expected.items():
        stream = getattr(photos, part).stream(None)
        for photo, image in zip(stream.as_numpy_iterator(), halved(rows), strict=True):
            np.testing.assert_array_equal(photo, image)
    areas = [image.shape[0] * image.shape[1] for image in halved(expected["train"])]
    crops = [*data.training_crops(photos.train, 4, epoch=1)]
    assert len(crops) == sum(area // SIZE**2 for area in areas) // 4


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lsun/bedroom", {}, "lsun/bedroom is not prepared .*tfds build lsun/bedroom.*folder"),
        ("coco", {}, "coco is not prepared.*specify the config name"),
        ("grays", {}, "grays has no color photographs"),
        ("food101", {}, "food101 has the splits train, .*validation and test"),
        ("coco/2017", {"num_validation": 12}, r"num_validation is 12, expected 0..11"),
        ("damaged/2017", {}, "damaged/2017 is not prepared"),
    ],
)
def test_wrong_input_is_one_line(root, name, options, message):
    info = root / "damaged" / "2017" / "1.1.0" / "dataset_info.json"
    info.parent.mkdir(parents=True, exist_ok=True)
    info.write_text("{")
    with pytest.raises(UsageError, match=message) as caught:
        options = {"size": SIZE, "num_validation": 2} | options
        data.load_prepared_photos(name, data_dir=str(root), **options)
    assert "\n" not in str(caught.value)
