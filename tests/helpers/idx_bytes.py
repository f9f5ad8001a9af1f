"""Writes IDX bytes independently of the reader under test."""

import pathlib
import struct

import numpy as np


def idx_bytes(array: np.ndarray) -> bytes:
    assert array.dtype == np.uint8
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


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
