"""The IDX files that MNIST and its relatives are published as."""

import gzip
import math
import os
import pathlib
import zlib

import numpy as np

from tfp_cinn.data.labeled_images import Source, make_split
from tfp_cinn.errors import UsageError

_MAX_DIMENSIONS = 8
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an IDX file of uint8: 0, 0, 8, a rank, the big-endian uint32 sizes, the elements.

    Gzip files are recognized by their first bytes.

    Raises:
        UsageError: the file is missing, damaged, not such a file, or not as long as its header
            says.

    References:
        Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST database of handwritten digits, section
        "File formats for the MNIST database".
    """
    try:
        content = pathlib.Path(path).read_bytes()
        if content.startswith(_GZIP_MAGIC):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} can't be read ({reason}), expected an IDX file") from None
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not 1 <= content[3] <= _MAX_DIMENSIONS:
        raise UsageError(
            f"{path} is not an IDX file of uint8: it starts with {content[:4].hex(' ')}, expected "
            f"00 00 08 and 1 to {_MAX_DIMENSIONS} dimensions"
        )
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    size = start + math.prod(shape)
    if len(content) != size:
        raise UsageError(
            f"{path} holds {len(content)} bytes, expected {size} as its header says: get it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def read_idx_folder(folder: str, name: str, class_names: tuple[str, ...] = ()) -> Source:
    """Read the official training and test set from `{train,t10k}-{images-idx3,labels-idx1}-ubyte`.

    Each file may end in `.gz` and may be spelled with a dot (`train-images.idx3-ubyte`).

    Args:
        folder: where they are.
        name: of the data set, for messages.
        class_names: of its classes; the numbers from 0 to the largest training label if empty.

    Raises:
        UsageError: the folder or one of the four files is missing or damaged, or they don't match.
    """
    root = pathlib.Path(folder).expanduser()
    splits, shape = {}, None
    for part, stem in (("train", "train"), ("test", "t10k")):
        images = _find(root, f"{stem}-images-idx3-ubyte", name)
        labels = _find(root, f"{stem}-labels-idx1-ubyte", name)
        split = make_split(
            read_idx(images),
            read_idx(labels),
            f"{images} with {labels.name}",
            image_shape=shape,
            num_classes=len(class_names) or None,
        )
        splits[part], shape = split, split.images.shape[1:]
        class_names = class_names or tuple(map(str, range(split.labels.max() + 1)))
    return Source(splits, class_names)


def where_to_get(name: str) -> str:
    """Say in a phrase what folder of IDX files `name` needs and where to find one."""
    phrase = f"a folder with the four IDX files of {name}"
    if name == "fashion_mnist":
        phrase += (
            " (on Debian, `apt-get install dataset-fashion-mnist` puts them in "
            "/usr/share/datasets/fashion-mnist)"
        )
    return phrase


def _find(root: pathlib.Path, stem: str, name: str) -> pathlib.Path:
    for spelling in (stem, stem.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            path = root / (spelling + suffix)
            if path.is_file():
                return path
    raise UsageError(f"{root} lacks {stem} (plain or .gz), expected {where_to_get(name)}")
