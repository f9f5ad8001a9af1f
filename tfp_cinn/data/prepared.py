"""Data sets by way of TensorFlow Datasets, failing fast without a network."""

import os
import urllib.parse
from typing import TYPE_CHECKING

import numpy as np

from tfp_cinn.data.idx import where_to_get
from tfp_cinn.data.labeled_images import Fitting, Source, make_split
from tfp_cinn.errors import UsageError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

DOWNLOADED = ("mnist", "fashion_mnist", "kmnist")
"""Data sets that are downloaded where they aren't prepared."""

_PROBE_SECONDS = 5.0  # for an answer from the host of a download


def read_tfds(
    name: str, data_dir: str | None, fitting: Fitting, test_fraction: float = 0.1
) -> Source:
    """Read a set of labeled images that TensorFlow Datasets has prepared.

    `mnist`, `fashion_mnist` and `kmnist` are downloaded and prepared once if need be. The order is
    that of TensorFlow Datasets, not of the published files.

    Args:
        name: such as `cifar10` or `imagenette/160px-v2`: any set with images and one label each.
        data_dir: where TensorFlow Datasets keeps it; None for its default.
        fitting: brings the images to one shape.
        test_fraction: how much of the training set, at its end, is for testing where the data set
            has neither a test nor a validation set.

    Raises:
        UsageError: the data set isn't prepared under `data_dir` and can't be downloaded, can't be
            read, has no training set of labeled images, or its images differ in size and `fitting`
            has none.
    """
    root = data_root(data_dir)
    if name in DOWNLOADED:
        _prepare(name, root)
    builder = open_prepared(name, data_dir)
    import tensorflow_datasets as tfds  # imported here as it takes seconds

    features = dict(builder.info.features or {})
    keys = {}
    for kind, usual in ((tfds.features.Image, "image"), (tfds.features.ClassLabel, "label")):
        found = [key for key, feature in features.items() if isinstance(feature, kind)]
        keys[usual] = usual if usual in found else next(iter(found), None)
    sizes = {part: info.num_examples for part, info in builder.info.splits.items()}
    if None in keys.values() or not sizes.get("train"):
        raise UsageError(
            f"{name} has {', '.join(features)} in {', '.join(sizes) or 'no splits'}, expected "
            "images with a label each in train: name another set"
        )
    label = features[keys["label"]]
    held_out = [part for part in ("test", "validation") if sizes.get(part)]
    parts = dict(zip(("test", "validation"), held_out, strict=False))
    cut = round(sizes["train"] * (1 - test_fraction))
    if held_out:
        parts["train"] = "train"
    else:
        parts |= {"train": f"train[:{cut}]", "test": f"train[{cut}:]"}
    splits, shape = {}, None
    for part in sorted(parts, reverse=True):  # training first
        # Whatever a file system or a damaged record raises has one remedy.
        try:
            images, labels = _read(builder, parts[part], keys, fitting)
        except Exception as error:
            raise UsageError(
                f"{name} can't be read under {root} ({_one_line(error)}): remove "
                f"{builder.data_dir} and prepare it again"
            ) from error
        splits[part] = make_split(
            fitting.stack(images, f"{name}, {part}") if images else np.zeros((0, 1, 1, 1), "u1"),
            np.array(labels),
            f"{name} under {root}, {part}",
            image_shape=shape,
            num_classes=label.num_classes,
        )
        shape = splits[part].images.shape[1:]
    return Source(splits, tuple(label.names))


def _prepare(name: str, root: str) -> None:
    """Download a data set and prepare it, if it isn't yet."""
    import tensorflow_datasets as tfds

    cls = tfds.builder_cls(name)
    # Look before making the builder: if the data isn't prepared, its constructor queries Google
    # Cloud Storage, which can hang for minutes.
    folder = os.path.join(root, name, str(cls.VERSION))
    if os.path.exists(os.path.join(folder, "dataset_info.json")):
        return
    otherwise = f"set --config.data.idx_dir=DIR to {where_to_get(name)}, or use 'digits'"
    cause = unreachable(urllib.parse.urljoin(cls.URL, "train-images-idx3-ubyte.gz"))
    if cause:
        raise UsageError(
            f"{name} is not prepared under {root} and {cls.URL} can't be reached ({cause}): "
            f"run once with a network, or {otherwise}"
        )
    # Whatever a download, a checksum or a file system raises has one remedy.
    try:
        tfds.builder(name, data_dir=root).download_and_prepare()
    except Exception as error:
        raise UsageError(
            f"{name} can't be prepared under {root} ({_one_line(error)}): "
            f"remove {folder} and try again, or {otherwise}"
        ) from error


def open_prepared(name: str, data_dir: str | None) -> "tfds.core.DatasetBuilder":
    """Open the newest version of a data set that TensorFlow Datasets has prepared on disk.

    Neither a download nor the network is tried.

    Raises:
        UsageError: it isn't prepared under `data_dir`, or what is there can't be read.
    """
    from tensorflow_datasets.core.read_only_builder import builder_from_files

    root = data_root(data_dir)
    # Errors of names, missing packages, file systems and damaged files all have one remedy.
    try:
        return builder_from_files(name, data_dir=root)
    except Exception as error:
        raise UsageError(
            f"{name} is not prepared under {root} ({_one_line(error)}): run `tfds build {name}` "
            "once, set data_dir, or use a folder of images"
        ) from error


def unreachable(url: str) -> str | None:
    """Return why a file can't be downloaded; None if it is there."""
    # TensorFlow Datasets downloads with requests too, so proxies and certificates work the same.
    import requests

    try:
        response = requests.head(url, timeout=_PROBE_SECONDS, allow_redirects=True)
    except OSError as error:  # as requests' errors are
        return type(error).__name__
    return None if response.ok else f"HTTP status {response.status_code}"


def data_root(data_dir: str | None) -> str:
    """Return the folder of TensorFlow Datasets."""
    root = data_dir or os.environ.get("TFDS_DATA_DIR") or os.path.join("~", "tensorflow_datasets")
    return os.path.expanduser(root)


def _read(
    builder: "tfds.core.DatasetBuilder", part: str, keys: dict[str, str], fitting: Fitting
) -> tuple[list[np.ndarray], list[int]]:
    images, labels = [], []
    # In batches where the images have one shape, which is many times faster for small ones.
    fixed = None not in builder.info.features[keys["image"]].shape
    batches = builder.as_dataset(split=part, batch_size=256 if fixed else 1)
    for batch in batches.as_numpy_iterator():
        images += [fitting.image(pixels) for pixels in batch[keys["image"]]]
        labels += batch[keys["label"]].tolist()
    return images, labels


def _one_line(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 400 else text[:397] + "..."
