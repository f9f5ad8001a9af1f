"""The IDX files that MNIST and its relatives are published as."""

import gzip
import math
import os
import pathlib
import zlib
from typing import BinaryIO

import numpy as np

from tfp_cinn.data.labeled_images import Source, make_split
from tfp_cinn.errors import UsageError

# The third byte of an IDX file names its element type; the elements are big-endian.
_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMENSIONS = 32  # numpy's own limit before version 2
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_DEFLATE_RATIO = 1032  # deflate spends at least two bits on a run of 258 bytes
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an IDX file: two zero bytes, a type, a rank, the big-endian uint32 sizes, the elements.

    Gzip files are recognized by their first bytes. Memory stays proportional to the file: the
    header isn't trusted with allocations, and no more is decompressed than it announces.

    Args:
        path: the file, plain or gzip.

    Returns:
        A writable array of the announced sizes in native byte order: uint8, int8, int16, int32,
        float32 or float64.

    Raises:
        UsageError: the file is missing, unreadable, empty, not IDX, shorter or longer than its
            header announces, or damaged as a gzip file.

    References:
        Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST database of handwritten digits, section
        "File formats for the MNIST database".
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UsageError(f"{path} is not a file, expected an IDX file: check the path")
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            is_gzip = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            if is_gzip:
                with gzip.GzipFile(fileobj=file) as stream:
                    return _parse(stream, path, _MAX_DEFLATE_RATIO * size)
            return _parse(file, path, size)
    except EOFError:
        raise UsageError(
            f"{path} is a truncated gzip file ({size} bytes), expected a whole one: get it again"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UsageError(f"{path} is a corrupt gzip file ({error}): get it again") from None
    except OSError as error:
        raise UsageError(
            f"{path} can't be read ({error.strerror}): check its permissions"
        ) from None


def read_idx_folder(folder: str, name: str, class_names: tuple[str, ...] = ()) -> Source:
    """Read the official training and test set from `{train,t10k}-{images-idx3,labels-idx1}-ubyte`.

    Each file may end in `.gz` and may be spelt with a dot (`train-images.idx3-ubyte`).

    Args:
        folder: where they are.
        name: of the data set, for messages.
        class_names: of its classes; the numbers from 0 to the largest training label if empty.

    Raises:
        UsageError: the folder or one of the four files is missing or damaged, or they don't match.
    """
    root = pathlib.Path(folder).expanduser()
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder, expected {where_to_get(name)}")
    stems = [
        f"{part}-{kind}"
        for part in ("train", "t10k")
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    found = {stem: _find(root, stem) for stem in stems}
    missing = [stem for stem, path in found.items() if path is None]
    if missing:
        raise UsageError(
            f"{root} lacks {', '.join(missing)} (plain or .gz), expected {where_to_get(name)}"
        )
    paths = [str(found[stem]) for stem in stems]
    splits, shape = {}, None
    for part, images, labels in (("train", *paths[:2]), ("test", *paths[2:])):
        splits[part] = make_split(
            read_idx(images),
            read_idx(labels),
            image_shape=shape,
            num_classes=len(class_names) or None,
            images_from=images,
            labels_from=labels,
        )
        shape = splits[part].images.shape[1:]
        class_names = class_names or tuple(map(str, range(splits[part].labels.max() + 1)))
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


def _find(root: pathlib.Path, stem: str) -> pathlib.Path | None:
    for spelling in (stem, stem.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            path = root / (spelling + suffix)
            if path.is_file():
                return path
    return None


def _parse(stream: BinaryIO, path: pathlib.Path, most: int) -> np.ndarray:
    """Parse one IDX stream that can't hold more than `most` bytes."""
    magic = stream.read(4)
    if not magic:
        raise UsageError(f"{path} is empty, expected an IDX file: get it again")
    if (
        len(magic) < 4
        or magic[:2] != b"\0\0"
        or magic[2] not in _DTYPES
        or not 1 <= magic[3] <= _MAX_DIMENSIONS
    ):
        raise UsageError(
            f"{path} is not an IDX file: it starts with {magic.hex(' ')}, expected 00 00, a type "
            f"(08, 09 or 0b to 0e) and a number of dimensions (01 to {_MAX_DIMENSIONS:02x})"
        )
    dtype, rank = np.dtype(_DTYPES[magic[2]]), magic[3]
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise UsageError(
            f"{path} is truncated: expected {4 + 4 * rank} header bytes, found {4 + len(sizes)}: "
            "get it again"
        )
    # Python's integers: 32 sizes of 2**32 overflow any fixed width.
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    expected = math.prod(shape) * dtype.itemsize
    if expected > most:
        raise UsageError(
            f"{path} is truncated: its header announces {expected} bytes of data, expected at "
            f"most the {most} that the file can hold: get it again"
        )
    data = _read(stream, expected + 1)
    if len(data) != expected:
        amount = f"found {len(data)}" if len(data) < expected else "found more"
        state = "truncated" if len(data) < expected else "followed by trailing bytes"
        raise UsageError(
            f"{path} is {state}: expected {expected} bytes of data, {amount}: get it again"
        )
    try:
        return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
    except ValueError:
        # Only an empty array gets here: one size is 0 and the others overflow.
        raise UsageError(f"{path} has the impossible sizes {shape}: get it again") from None


def _read(stream: BinaryIO, most: int) -> bytearray:
    # In chunks, since a buffered reader allocates the requested size before reading.
    data = bytearray()
    while len(data) < most:
        chunk = stream.read(min(_CHUNK, most - len(data)))
        if not chunk:
            break
        data += chunk
    return data
