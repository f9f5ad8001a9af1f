"""A reader of PyTorch's saved weights that doesn't need PyTorch."""

from __future__ import annotations

import collections
import io
import os
import pathlib
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import safetensors.numpy

from tfp_cinn.errors import UsageError

__all__ = ["read_checkpoint", "read_state_dict"]

_DTYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}

# Files written before PyTorch 1.6 begin with this integer, pickled.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def read_state_dict(path: str | os.PathLike, key: str | None = None) -> dict[str, np.ndarray]:
    """Read the weights that `torch.save(module.state_dict(), path)` wrote.

    Reads both the zip format and the one before PyTorch 1.6. The pickle inside may refer only to
    tensors, their storages and ordered dicts; nothing else it names is ever called.

    Args:
        path: the file.
        key: the entry with the weights, if the file holds a dict of several things.

    Returns:
        The tensors by name, read-only, with their own dtypes and PyTorch's order of axes.

    Raises:
        UsageError: if the file is missing, truncated, not PyTorch's, or holds anything but tensors.
    """
    return _read(path, lambda saved, storages: _tensors(saved, storages, key))


def read_checkpoint(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read all the weights in a file of `torch.save` or safetensors.

    Like `read_state_dict`, for files that may hold a dict of several things: reads every state dict
    in it and prefixes its names with its key, such as `net.`. Entries that hold anything else, such
    as an optimizer's state, are skipped. The names in a single state dict are unchanged.

    Args:
        path: the file.

    Raises:
        UsageError: as `read_state_dict`, or if there is no state dict.
    """
    if pathlib.Path(path).suffix != ".safetensors":
        return _read(path, _all_state_dicts)
    try:
        return safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise UsageError(f"{path}: can't be read as a safetensors file ({error})") from None


def _read(
    path: str | os.PathLike, convert: Callable[[Any, dict[str, np.ndarray]], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    path = pathlib.Path(path)
    try:
        with open(path, "rb") as file:
            saved, storages = _read_zip(file) if zipfile.is_zipfile(file) else _read_legacy(file)
        return convert(saved, storages)
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror or error})") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    # Arbitrary bytes can fail to be a pickle, an archive or a tensor in many ways.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"{path}: expected weights that torch.save wrote, but the file is damaged or something "
            f"else ({reason})"
        ) from None


class _Tensor(NamedTuple):
    """A tensor whose storage hasn't been read yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    size: int


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows only the parts of a state dict."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        # New functions for each call, since a pickle can set attributes of what it names.
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(
                storage, offset, shape, strides
            )
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module == "torch" and name in _DTYPES:
            return name
        raise UsageError(
            f"refused, since its pickle names {f'{module}.{name}'!r}; expected nothing but tensors "
            "of numbers, as torch.save(module.state_dict(), path) writes them"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage, key, _, size, *view = pid
        if kind != "storage" or any(part is not None for part in view):
            raise UsageError("a storage of an unknown kind; save the state dict anew")
        return _Storage(str(key), _DTYPES[storage], int(size))


def _unpickle(file: BinaryIO) -> Any:
    """Return the object in the next pickle of a file."""
    start, last = file.tell(), 0
    for operation, argument, _ in pickletools.genops(file):
        if "PUT" in operation.name:
            last = max(last, int(argument))
    end = file.tell()
    # The unpickler's memo is a list, so a large index in a small file would exhaust memory.
    if last > end - start:
        raise pickle.UnpicklingError("memo out of range")
    file.seek(start)
    return _Unpickler(io.BytesIO(file.read(end - start))).load()


def _read_zip(file: BinaryIO) -> tuple[Any, dict[str, np.ndarray]]:
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        pickles = [name for name in members if name.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1:
            raise UsageError("a zip archive without PyTorch's data.pkl; expected saved weights")
        # PyTorch doesn't compress; a zip bomb does.
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise UsageError("a compressed archive; expected one that torch.save wrote")
        root = pickles[0].removesuffix("data.pkl")
        order = f"{root}byteorder"
        if order in members and archive.read(order) != b"little":
            raise UsageError("written on a big-endian machine; save it anew on another")
        saved = _unpickle(io.BytesIO(archive.read(pickles[0])))
        storages = {
            name.removeprefix(f"{root}data/"): np.frombuffer(archive.read(name), np.uint8)
            for name in members
            if name.startswith(f"{root}data/")
        }
    return saved, storages


def _read_legacy(file: BinaryIO) -> tuple[Any, dict[str, np.ndarray]]:
    file.seek(0)
    if _unpickle(file) != _LEGACY_MAGIC:
        raise UsageError("not a file of PyTorch; expected weights that torch.save wrote")
    _unpickle(file)  # version of the format; there was only one
    if _unpickle(file).get("little_endian") is not True:
        raise UsageError("written on a big-endian machine; save it anew on another")
    saved = _unpickle(file)
    sizes = {
        tensor.storage.key: tensor.storage.size * tensor.storage.dtype.itemsize
        for tensor in _all_tensors(saved)
    }
    storages = {}
    for key in _unpickle(file):
        file.read(8)  # the number of elements again
        storages[key] = np.frombuffer(file.read(sizes[key]), np.uint8)
    return saved, storages


def _all_tensors(saved: Any) -> list[_Tensor]:
    if isinstance(saved, _Tensor):
        return [saved]
    if isinstance(saved, Mapping):
        return [tensor for value in saved.values() for tensor in _all_tensors(value)]
    return []


def _tensors(
    saved: Any, storages: Mapping[str, np.ndarray], key: str | None
) -> dict[str, np.ndarray]:
    if not isinstance(saved, dict):
        raise UsageError(f"holds a {type(saved).__name__}; expected a dict of tensors by name")
    if key is not None:
        if not isinstance(saved.get(key), dict):
            raise UsageError(f"has no dict {key!r}; it holds {', '.join(map(repr, saved))}")
        saved = saved[key]
    others = [name for name, value in saved.items() if not isinstance(value, _Tensor)]
    if others:
        raise UsageError(
            f"expected tensors alone, got other things as {', '.join(map(repr, others[:5]))}; "
            "where one of them is a dict of tensors, give its name as key"
        )
    return {str(name): _array(tensor, storages) for name, tensor in saved.items()}


def _all_state_dicts(saved: Any, storages: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if not isinstance(saved, dict) or any(isinstance(v, _Tensor) for v in saved.values()):
        return _tensors(saved, storages, None)
    found = {
        f"{key}.{name}": tensor
        for key, value in saved.items()
        if isinstance(value, dict) and all(isinstance(v, _Tensor) for v in value.values())
        for name, tensor in _tensors(value, storages, None).items()
    }
    if not found:
        raise UsageError(
            f"holds no state dict; it holds {', '.join(map(repr, list(saved)[:5])) or 'nothing'}"
        )
    return found


def _array(tensor: _Tensor, storages: Mapping[str, np.ndarray]) -> np.ndarray:
    storage = tensor.storage
    content = storages[storage.key]
    if len(content) != storage.size * storage.dtype.itemsize:
        raise EOFError("truncated")
    # NumPy refuses shapes, offsets and strides that leave the storage.
    return np.ndarray(
        tensor.shape,
        storage.dtype,
        content,
        tensor.offset * storage.dtype.itemsize,
        tuple(stride * storage.dtype.itemsize for stride in tensor.strides),
    )
