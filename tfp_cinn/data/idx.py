"""The IDX files that MNIST and its relatives are published as."""

import gzip
import math
import os
import pathlib
import zlib

import numpy as np

from tfp_cinn.data.labeled_images import Source, make_split
from tfp_cinn.errors import UsageError

# The third byte of an IDX file names its element type; the elements are big-endian.
_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMENSIONS = 8
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an IDX file: two zero bytes, a type, a rank, the big-endian uint32 sizes, the elements.

    Gzip files are recognized by their first bytes.

    Returns:
        A writable array in native byte order: uint8, int8, int16, int32, float32 or float64.

    Raises:
        UsageError: the file is missing, damaged, not IDX, or not as long as its header says.

    References:
        Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST database of handwritten digits, section
        "File formats for the MNIST database".
    """
    path = pathlib.Path(path)
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP_MAGIC):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} can't be read ({reason}), expected an IDX file") from None
    known = len(content) >= 4 and content[:2] == b"\0\0" and content[2] in _DTYPES
    if not known or not 1 <= content[3] <= _MAX_DIMENSIONS:
        raise UsageError(
            f"{path} is not an IDX file: it starts with {content[:4].hex(' ') or 'nothing'}, "
            f"expected 00 00, a type (08, 09 or 0b to 0e) and 1 to {_MAX_DIMENSIONS} dimensions"
        )
    dtype, start = np.dtype(_DTYPES[content[2]]), 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    size = start + math.prod(shape) * dtype.itemsize
    if len(content) != size:
        raise UsageError(
            f"{path} holds {len(content)} bytes, expected {size} as its header says: get it again"
        )
    elements = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return elements.astype(dtype.newbyteorder("="))


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
