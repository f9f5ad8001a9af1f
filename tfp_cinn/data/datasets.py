"""The data sets by name."""

import numpy as np

from tfp_cinn.data.idx import read_idx_folder
from tfp_cinn.data.labeled_images import LabeledImages, Split
from tfp_cinn.data.prepared import read_tfds
from tfp_cinn.errors import UsageError

DATASETS: tuple[str, ...] = ("digits", "mnist", "fashion_mnist", "kmnist")

_NUM_CLASSES = 10
_DIGITS_SHAPE = (8, 8, 1)
_MNIST_SHAPE = (28, 28, 1)
_LEVELS = {"digits": 17}  # gray levels; the others have 256
_CLASS_NAMES = {
    "fashion_mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}
_DIGITS_TEST = 297
_DIGITS_VALIDATION = 150
_MNIST_VALIDATION = 1024  # as in the code of arXiv:1907.02392


def load(
    name: str,
    *,
    idx_dir: str | None = None,
    data_dir: str | None = None,
    num_validation: int | None = None,
) -> LabeledImages:
    """Load a data set into memory.

    `digits` (1797 images of 8x8, 17 gray levels) comes with scikit-learn and has a fixed random
    split, since neighbors in the file come from one writer. `mnist`, `fashion_mnist` and `kmnist`
    (70,000 images of 28x28, 256 gray levels) keep their official test set; validation is the first
    part of the source's training set, so TensorFlow Datasets and the IDX files hold out different
    images.

    Args:
        name: one of `DATASETS`.
        idx_dir: a folder with the four published IDX files, plain or gzip; not for `digits`.
        data_dir: without `idx_dir`, the folder of TensorFlow Datasets; None for its default.
            `digits` needs none.
        num_validation: number of training images to hold out, 0 .. N_train-1; by default 150 of
            `digits` and 1024 of the others.

    Raises:
        UsageError: an unknown name, an argument out of range, or data that is missing, damaged or
            out of reach.

    Examples:
        >>> digits = load("digits")
        >>> digits.train.images.shape, digits.levels
        ((1350, 8, 8, 1), 17)
    """
    _check_name(name)
    if name == "digits":
        if idx_dir:
            raise UsageError(
                f"digits is embedded and reads no idx_dir, got {idx_dir}: leave idx_dir unset or "
                "name the data set of that folder"
            )
        train, test = _digits()
        default = _DIGITS_VALIDATION
    else:
        if idx_dir:
            train, test = read_idx_folder(
                idx_dir, name, image_shape=_MNIST_SHAPE, num_classes=_NUM_CLASSES
            )
        else:
            train, test = read_tfds(
                name, data_dir, image_shape=_MNIST_SHAPE, num_classes=_NUM_CLASSES
            )
        default = _MNIST_VALIDATION
    held_out = default if num_validation is None else num_validation
    total = len(train.labels)
    if held_out not in range(total):
        raise UsageError(
            f"num_validation is {held_out}, expected 0..{total - 1} as {name} has {total} training "
            "images: set it in that range"
        )
    return _labeled_images(
        name,
        train=Split(train.images[held_out:], train.labels[held_out:]),
        validation=Split(train.images[:held_out], train.labels[:held_out]),
        test=test,
    )


def load_nothing(name: str) -> LabeledImages:
    """Return a data set's shapes, classes and gray levels without any images.

    Args:
        name: one of `DATASETS`.

    Raises:
        UsageError: an unknown name, or, later, when the mean or standard deviation is used.
    """
    _check_name(name)
    shape = _DIGITS_SHAPE if name == "digits" else _MNIST_SHAPE
    nothing = Split(np.zeros((0, *shape), np.uint8), np.zeros(0, np.int32))
    return _labeled_images(name, train=nothing, validation=nothing, test=nothing)


def _check_name(name: str) -> None:
    if name not in DATASETS:
        raise UsageError(f"unknown data set {name!r}, expected one of {', '.join(DATASETS)}")


def _labeled_images(name: str, **splits: Split) -> LabeledImages:
    return LabeledImages(
        name=name,
        num_classes=_NUM_CLASSES,
        levels=_LEVELS.get(name, 256),
        class_names=_CLASS_NAMES.get(name, ()),
        **splits,
    )


def _digits() -> tuple[Split, Split]:
    # Imported here because it takes a second and only `digits` needs it.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.RandomState(0).permutation(len(bunch.target))
    images = bunch.images.astype(np.uint8)[order, ..., np.newaxis]
    labels = bunch.target.astype(np.int32)[order]
    return (
        Split(images[_DIGITS_TEST:], labels[_DIGITS_TEST:]),
        Split(images[:_DIGITS_TEST], labels[:_DIGITS_TEST]),
    )
