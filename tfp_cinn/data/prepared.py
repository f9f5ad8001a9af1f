"""The official data sets from TensorFlow Datasets, failing fast without a network."""

import glob
import os
import threading
import urllib.parse
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfp_cinn.data.idx import where_to_get
from tfp_cinn.data.labeled_images import Split, make_split
from tfp_cinn.errors import UsageError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_PROBE_SECONDS = 5.0


def read_tfds(
    name: str, data_dir: str | None, *, image_shape: tuple[int, int, int], num_classes: int
) -> tuple[Split, Split]:
    """Read the training and test set from TensorFlow Datasets, downloading them once if needed.

    The examples come in the order that TensorFlow Datasets stores them in, which is not that of the
    published files.

    Raises:
        UsageError: the data set isn't prepared under `data_dir` and can't be downloaded (said
            within ten seconds where its host can't be reached), or it can't be read.
    """
    # Imported here because it takes seconds, and neither `digits` nor IDX files need it.
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UsageError(
            f"{name} needs tensorflow-datasets, which can't be imported ({_one_line(error)}): "
            f"install it, or {_without_network(name)}"
        ) from error
    root = _root(data_dir)
    cls = tfds.builder_cls(name)
    # Look before making the builder: if the data isn't prepared, its constructor queries Google
    # Cloud Storage, which can hang for minutes.
    info = os.path.join(root, name, str(cls.VERSION), "dataset_info.json")
    if not tf.io.gfile.exists(info):
        cause = unreachable(urllib.parse.urljoin(cls.URL, "train-images-idx3-ubyte.gz"))
        if cause:
            host = urllib.parse.urlsplit(cls.URL).netloc
            raise UsageError(
                f"{name} is not prepared under {root} and {host} can't be reached ({cause}): "
                f"run once with a network, or {_without_network(name)}"
            )
    # Errors of downloads, checksums, file systems and damaged records all have one remedy.
    try:
        builder = tfds.builder(name, data_dir=root)
        builder.download_and_prepare()
        parts = [_read(builder, part) for part in ("train", "test")]
    except Exception as error:
        raise UsageError(
            f"{name} can't be prepared or read under {root} ({_one_line(error)}): "
            f"remove {os.path.dirname(info)} and try again, or {_without_network(name)}"
        ) from error
    return tuple(
        make_split(
            images,
            labels,
            image_shape=image_shape,
            num_classes=num_classes,
            images_from=f"{name} under {root}",
            labels_from=f"{name} under {root}",
        )
        for images, labels in parts
    )


def open_prepared(name: str, data_dir: str | None) -> "tfds.core.DatasetBuilder":
    """Open the newest version of a data set that TensorFlow Datasets has prepared on disk.

    Neither a download nor the network is tried.

    Raises:
        UsageError: it isn't prepared under `data_dir`, or what is there can't be read.
    """
    root = _root(data_dir)
    base = glob.escape(os.path.join(root, name))
    found = tf.io.gfile.glob(os.path.join(base, "*.*.*", "dataset_info.json"))
    if not found:
        configs = tf.io.gfile.glob(os.path.join(base, "*", "*.*.*", "dataset_info.json"))
        names = sorted({f"{name}/{path.split(os.sep)[-3]}" for path in configs})
        hint = f"name one of {', '.join(names)}" if names else f"run `tfds build {name}` once"
        raise UsageError(
            f"{name} is not prepared under {root}, expected {name}/VERSION/dataset_info.json "
            f"there: {hint}, set data_dir, or use a folder of photographs"
        )
    folder = os.path.dirname(max(found, key=_version))
    # Errors of missing packages, file systems and damaged files all have one remedy.
    try:
        import tensorflow_datasets as tfds

        return tfds.builder_from_directory(folder)
    except Exception as error:
        raise UsageError(
            f"{name} under {root} can't be opened ({_one_line(error)}): prepare it anew, or use a "
            "folder of photographs"
        ) from error


def unreachable(url: str, seconds: float = _PROBE_SECONDS) -> str | None:
    """Ask for the headers of `url`, through the proxies that the environment names.

    Returns:
        None if the file is there to download, else why not, after at most `seconds`.
    """
    # TensorFlow Datasets downloads with requests too, so proxies and certificates work the same.
    import requests

    causes = [f"no answer within {seconds:g} s"]

    def ask() -> None:
        try:
            response = requests.head(url, timeout=seconds, allow_redirects=True)
            causes.append("" if response.ok else f"HTTP status {response.status_code}")
        except (requests.RequestException, OSError) as error:
            causes.append(type(error).__name__)

    # In a daemon thread, since requests' timeouts don't limit name lookups.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return causes[-1] or None


def _read(builder: "tfds.core.DatasetBuilder", part: str) -> tuple[np.ndarray, np.ndarray]:
    batches = builder.as_dataset(split=part, batch_size=1024).as_numpy_iterator()
    images, labels = zip(*((batch["image"], batch["label"]) for batch in batches), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _root(data_dir: str | None) -> str:
    root = data_dir or os.environ.get("TFDS_DATA_DIR") or os.path.join("~", "tensorflow_datasets")
    return os.path.expanduser(root)


def _version(info: str) -> tuple[int, ...]:
    parts = os.path.basename(os.path.dirname(info)).split(".")
    return tuple(int(part) if part.isdigit() else -1 for part in parts)


def _without_network(name: str) -> str:
    return (
        f"set --config.data.idx_dir=DIR to {where_to_get(name)}, "
        "or use the embedded data set 'digits'"
    )


def _one_line(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 200 else text[:197] + "..."
