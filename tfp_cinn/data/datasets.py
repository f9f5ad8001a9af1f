"""The data sets by name."""

import pathlib
from collections.abc import Sequence

import numpy as np

from tfp_cinn.data.class_folders import read_class_folders
from tfp_cinn.data.idx import read_idx_folder
from tfp_cinn.data.labeled_images import Fitting, LabeledImages, Source, Split
from tfp_cinn.data.prepared import DOWNLOADED, read_tfds
from tfp_cinn.errors import UsageError

DATASETS: tuple[str, ...] = ("digits", *DOWNLOADED)
"""Data sets whose shapes and classes are known without their images."""

_DIGIT_NAMES = tuple("0123456789")
_CLASS_NAMES = {
    "digits": _DIGIT_NAMES,
    "mnist": _DIGIT_NAMES,
    "fashion_mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
        "Ankle boot",
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}  # fmt: skip
_DIGITS_TEST = 297
_MAX_VALIDATION = 1024  # as in the code of arXiv:1907.02392


def load(
    name: str,
    *,
    folder: str | None = None,
    idx_dir: str | None = None,
    data_dir: str | None = None,
    num_validation: int | None = None,
    test_fraction: float | None = None,
    size: Sequence[int] | None = None,
    channels: int | None = None,
    resize: str = "crop",
) -> LabeledImages:
    """Load a data set into memory.

    `folder` names a folder of images, one folder a class (`read_class_folders`). `digits` (1797
    images of 8x8, 17 gray levels) comes with scikit-learn and is split at random, the same way each
    time, since neighbors in the file come from one writer. Any other name is that of a set of
    labeled images that TensorFlow Datasets has prepared, or that is in `idx_dir`; the sets in
    `DATASETS` (70,000 images of 28x28) are downloaded where they aren't prepared.

    Where the source has no validation set beside its test set, it is the first part of the training
    set, in the order of the source, so TensorFlow Datasets and IDX files hold out different images.

    Args:
        name: `"folder"`, `"digits"`, or that of a data set.
        folder: where the classes are, with the name `"folder"`.
        idx_dir: a folder with the four published IDX files, plain or gzip.
        data_dir: without `idx_dir`, where TensorFlow Datasets keeps or puts what it has prepared;
            None for its default.
        num_validation: how many training images to hold out, 0 .. N_train-1; by default a tenth,
            1024 at most.
        test_fraction: share of test images where the source has no test set, 0.1 by default.
        size: see `Fitting`.
        channels: likewise.
        resize: likewise.

    Raises:
        UsageError: an argument out of range, or data that is missing, damaged or out of reach.

    Examples:
        >>> digits = load("digits")
        >>> digits.train.images.shape, digits.levels
        ((1350, 8, 8, 1), 17)
    """
    fitting = Fitting(None if size is None else tuple(size), channels, resize)
    if (name == "folder") != (folder is not None) or (name in ("digits", "folder") and idx_dir):
        raise UsageError(
            f"data set {name!r} with folder={folder!r} and idx_dir={idx_dir!r}: set folder with "
            "the name 'folder' and no other, and idx_dir with the name of the set in it, not with "
            "'digits', which is embedded"
        )
    fraction = 0.1 if test_fraction is None else test_fraction
    if name == "folder":
        source = read_class_folders(folder, fitting, fraction)
    elif name == "digits":
        source = _fitted(_digits(), fitting)
    elif idx_dir:
        source = _fitted(read_idx_folder(idx_dir, name, _CLASS_NAMES.get(name, ())), fitting)
    else:
        source = read_tfds(name, data_dir, fitting, fraction)
    splits = source.splits
    if "validation" not in splits:
        train, total = splits["train"], len(splits["train"].labels)
        held_out = min(total // 10, _MAX_VALIDATION) if num_validation is None else num_validation
        if held_out not in range(total):
            raise UsageError(
                f"num_validation is {held_out}, expected 0..{total - 1} as {name} has {total} "
                "training images: set it in that range"
            )
        splits = splits | {
            "train": Split(train.images[held_out:], train.labels[held_out:]),
            "validation": Split(train.images[:held_out], train.labels[:held_out]),
        }
    return LabeledImages(
        name=pathlib.Path(folder).expanduser().resolve().name if folder else name,
        num_classes=len(source.class_names),
        levels=_levels(name),
        class_names=source.class_names,
        summary=source.summary,
        **splits,
    )


def load_nothing(name: str) -> LabeledImages:
    """Return a data set's shapes, classes and gray levels without any images.

    Raises:
        UsageError: none of `DATASETS`, or, later, when the mean or standard deviation is used.
    """
    if name not in DATASETS:
        raise UsageError(f"unknown data set {name!r}, expected one of {', '.join(DATASETS)}")
    side = 8 if name == "digits" else 28
    nothing = Split(np.zeros((0, side, side, 1), np.uint8), np.zeros(0, np.int32))
    return LabeledImages(name, nothing, nothing, nothing, 10, _levels(name), _CLASS_NAMES[name])


def _levels(name: str) -> int:
    return 17 if name == "digits" else 256


def _fitted(source: Source, fitting: Fitting) -> Source:
    if fitting.size is None and fitting.channels is None:
        return source
    splits = {
        part: Split(fitting.stack([fitting.image(x) for x in split.images], part), split.labels)
        for part, split in source.splits.items()
    }
    return source._replace(splits=splits)


def _digits() -> Source:
    # Imported here as it takes a second and only `digits` needs it.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.RandomState(0).permutation(len(bunch.target))
    images = bunch.images.astype(np.uint8)[order, ..., np.newaxis]
    labels = bunch.target.astype(np.int32)[order]
    splits = {
        "train": Split(images[_DIGITS_TEST:], labels[_DIGITS_TEST:]),
        "test": Split(images[:_DIGITS_TEST], labels[:_DIGITS_TEST]),
    }
    return Source(splits, _DIGIT_NAMES)
