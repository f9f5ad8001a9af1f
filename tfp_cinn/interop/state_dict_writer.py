"""Weights as PyTorch saves them, written without PyTorch."""

from __future__ import annotations

import os
import pathlib
import struct
import zipfile
from collections.abc import Mapping

import numpy as np

from tfp_cinn import files
from tfp_cinn.errors import UsageError

__all__ = ["write_state_dict"]

_STORAGES = {
    np.dtype("<f8"): "DoubleStorage",
    np.dtype("<f4"): "FloatStorage",
    np.dtype("<f2"): "HalfStorage",
    np.dtype("<i8"): "LongStorage",
    np.dtype("<i4"): "IntStorage",
}


def write_state_dict(path: str | os.PathLike, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes what `torch.save(state_dict, path)` would, in the zip format of PyTorch since 1.6.

    `torch.load(path, weights_only=True)` and `tfp_cinn.interop.read_state_dict` read it.

    Args:
        path: the file, which appears whole or not at all.
        tensors: by name; of 64, 32 or 16 bit floats, or 64 or 32 bit integers.

    Raises:
        UsageError: if a tensor is of another type, or the file can't be written.
    """
    path = pathlib.Path(path)
    arrays = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    for name, array in arrays.items():
        if array.dtype.newbyteorder("<") not in _STORAGES:
            known = ", ".join(dtype.name for dtype in _STORAGES)
            raise UsageError(f"{name}: expected one of {known}, got {array.dtype}")
    with files.writing(path) as scratch, zipfile.ZipFile(scratch, "w") as archive:
        archive.writestr("archive/data.pkl", _pickle(arrays))
        archive.writestr("archive/byteorder", "little")
        for number, array in enumerate(arrays.values()):
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            archive.writestr(f"archive/data/{number}", little.tobytes())
        archive.writestr("archive/version", "3\n")


# Python's own pickler names only what it can import: these are the few operations of a pickle that
# a dict of tensors takes.


def _pickle(arrays: Mapping[str, np.ndarray]) -> bytes:
    items = b"".join(
        _text(name) + _tensor(str(number), array)
        for number, (name, array) in enumerate(arrays.items())
    )
    return b"\x80\x02" + _ORDERED_DICT + b"(" + items + b"u."


def _tensor(key: str, array: np.ndarray) -> bytes:
    kind = _STORAGES[array.dtype.newbyteorder("<")]
    storage = _tuple(
        _text("storage"), _named("torch", kind), _text(key), _text("cpu"), _integer(array.size)
    )
    strides = [stride // array.itemsize for stride in array.strides]
    arguments = _tuple(
        storage + b"Q",  # a storage is told of by what it is, not by its content
        _integer(0),
        _tuple(*map(_integer, array.shape)),
        _tuple(*map(_integer, strides)),
        b"\x89",  # needs no gradient
        _ORDERED_DICT,  # has no hooks
    )
    return _named("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def _text(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _integer(number: int) -> bytes:
    if number < 2**31:
        return b"J" + struct.pack("<i", number)
    return b"\x8a\x08" + struct.pack("<q", number)


def _tuple(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def _named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


_ORDERED_DICT = _named("collections", "OrderedDict") + b")R"
