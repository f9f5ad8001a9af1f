"""load_prepared_photos: what TensorFlow Datasets has prepared, and fast errors offline."""

import socket
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.synthetic_photos import pixels
from tfp_cinn import data
from tfp_cinn.errors import UsageError

SIZE = 8


def examples(count, seed):
    random = np.random.RandomState(seed)
    for k in range(count):
        image = pixels(*random.randint(2 * SIZE, 60, 2), seed=100 * seed + k)
        yield {"image": image, "label": k}


def prepare(root, name, config, version, splits, shape=(None, None, 3)):
    """Stores a data set as TensorFlow Datasets does."""
    import tensorflow_datasets as tfds

    image = tf.TensorSpec(shape, tf.uint8)
    signature = {"image": image, "label": tf.TensorSpec((), tf.int64)}
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        config=config,
        version=version,
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=shape),
                "label": tfds.features.ClassLabel(num_classes=100),
            }
        ),
        split_datasets={
            part: tf.data.Dataset.from_generator(
                lambda rows=rows: iter(rows), output_signature=signature
            )
            for part, rows in splits.items()
        },
        data_dir=str(root),
        disable_shuffling=True,
    )


TRAIN, TEST = [*examples(12, 0)], [*examples(5, 1)]
TRAIN[3]["image"] = TRAIN[3]["image"][: 2 * SIZE - 1]
TRAIN[7]["image"] = np.repeat(TRAIN[7]["image"][..., :1], 3, axis=-1)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    import tensorflow_datasets as tfds

    path = tmp_path_factory.mktemp("tfds")
    with pytest.MonkeyPatch.context() as patch:
        # Storing asks Google Cloud Storage about the new data set.
        patch.setattr(tfds.core.utils.gcs_utils, "_is_gcs_disabled", True)
        splits = {"train": TRAIN, "validation": TEST}
        prepare(path, "coco", "2017", "1.1.0", splits)
        prepare(path, "imagenet2012", None, "5.0.0", {"train": TEST, "validation": TEST})
        prepare(path, "imagenet2012", None, "5.1.0", {**splits, "test": TEST[:1]})
        prepare(path, "food101", None, "1.0.0", {"train": TRAIN})
        gray = [{**row, "image": row["image"][..., :1]} for row in TEST]
        prepare(path, "emnist", None, "1.0.0", {"train": gray, "test": gray}, (None, None, 1))
    return path


@pytest.fixture(autouse=True)
def no_network(monkeypatch, root):
    def refuse(*args):
        pytest.fail("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def check_error(words, *args, **options):
    start = time.monotonic()
    with pytest.raises(UsageError) as caught:
        data.load_prepared_photos(*args, **{"size": SIZE, "num_validation": 2, **options})
    assert time.monotonic() - start < 10
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def halved(rows):
    images = [row["image"].astype(int) for row in rows]
    shapes = [(image.shape[0] // 2, image.shape[1] // 2) for image in images]
    return [
        (image[: 2 * h, : 2 * w].reshape(h, 2, w, 2, 3).sum((1, 3)) + 2) // 4
        for image, (h, w) in zip(images, shapes, strict=True)
    ]


@pytest.mark.parametrize("name", ["coco/2017", "imagenet2012"])
def test_splits(root, name):
    photos = data.load_prepared_photos(name, data_dir=str(root), size=SIZE, num_validation=5)
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


def test_crops(root):
    def load():
        return data.load_prepared_photos(
            "coco/2017", data_dir=str(root), size=SIZE, num_validation=2
        )

    train = load().train
    shapes = [np.array(image.shape) for image in halved([TRAIN[2], *TRAIN[4:7], *TRAIN[8:]])]
    total = sum(height * width // SIZE**2 for height, width, _ in shapes)
    dataset = data.training_crops(train, 4, seed=1)
    epochs = [np.stack([*dataset.as_numpy_iterator()]) for _ in range(2)]
    assert epochs[0].shape == (total // 4, 4, SIZE, SIZE, 3)
    assert not np.array_equal(*epochs)
    again = data.training_crops(load().train, 4, seed=1)
    for one in epochs:
        np.testing.assert_array_equal(np.stack([*again.as_numpy_iterator()]), one)
    centers = data.evaluation_crops(load().test, 100, per_photo=1)
    assert [len(batch) for batch in centers] == [len(TEST)]


@pytest.mark.parametrize("name", ["lsun/bedroom", "no_such_set", "../coco", "*/*"])
def test_not_prepared(tmp_path, name):
    words = [name, "not prepared", str(tmp_path), f"tfds build {name}", "folder of images"]
    check_error(words, name, data_dir=str(tmp_path))


def test_a_config_is_missing(root):
    check_error(["coco is not prepared", "name one of coco/2017"], "coco", data_dir=str(root))


def test_brackets_in_the_folder(root, tmp_path):
    (tmp_path / "[x]").symlink_to(root)
    check_error(
        ["num_validation is 99"], "coco/2017", data_dir=f"{tmp_path}/[x]", num_validation=99
    )


def test_default_folder(monkeypatch, root):
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    assert data.load_prepared_photos("coco/2017", size=SIZE, num_validation=2).name == "coco/2017"


def test_sets_that_do_not_fit(root):
    check_error(["emnist", "no color photographs"], "emnist", data_dir=str(root))
    words = ["food101", "the splits train,", "validation and test"]
    check_error(words, "food101", data_dir=str(root))


@pytest.mark.parametrize("num_validation", [-1, 12, 1000])
def test_num_validation_out_of_range(root, num_validation):
    words = [f"num_validation is {num_validation}", "0..11"]
    check_error(words, "coco/2017", data_dir=str(root), num_validation=num_validation)


def test_arguments_out_of_range(root):
    check_error(["size is 0"], "coco/2017", data_dir=str(root), size=0)
    check_error(["downscale is 17"], "coco/2017", data_dir=str(root), downscale=17)


def test_damaged(tmp_path):
    info = tmp_path / "coco" / "2017" / "1.1.0" / "dataset_info.json"
    info.parent.mkdir(parents=True)
    info.write_text("{")
    check_error(["coco/2017", "can't be opened"], "coco/2017", data_dir=str(tmp_path))
