"""Writes IDX bytes independently of the reader under test."""

import pathlib
import struct

import numpy as np

TYPES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(">BBBB", 0, 0, TYPES[array.dtype.str[1:]], array.ndim)
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return header + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_folder(
    folder: pathlib.Path,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    separator: str = "-",
    suffix: str = "",
    compress=lambda data: data,
) -> pathlib.Path:
    folder.mkdir(exist_ok=True)
    for part, (images, labels) in (("train", train), ("t10k", test)):
        for kind, array in ((f"images{separator}idx3", images), (f"labels{separator}idx1", labels)):
            path = folder / f"{part}-{kind}-ubyte{suffix}"
            path.write_bytes(compress(idx_bytes(array)))
    return folder
