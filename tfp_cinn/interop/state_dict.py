"""Weights in files of PyTorch and of safetensors, read without PyTorch."""

from __future__ import annotations

import collections
import os
import pathlib
import pickle
import zipfile
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import safetensors.numpy

from tfp_cinn.errors import UsageError

__all__ = ["read_checkpoint"]

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


def read_checkpoint(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the weights in a file of safetensors or of `torch.save`, before PyTorch 1.6 or since.

    The file may hold a state dict, or a dict of several things. Then the names of each state dict
    in it begin with its key, such as `net.`, and everything else is left out. The pickle inside can
    name only tensors, their storages and ordered dicts; nothing else is ever called.

    Returns:
        The tensors by name, read-only, with PyTorch's order of axes.

    Raises:
        UsageError: the file is missing, damaged, or holds no state dict.
    """
    path = pathlib.Path(path)
    try:
        if path.suffix == ".safetensors":
            return safetensors.numpy.load_file(path)
        with open(path, "rb") as file:
            saved, storages = _read_zip(file) if zipfile.is_zipfile(file) else _read_legacy(file)
        return {name: _array(tensor, storages) for name, tensor in _named(saved).items()}
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror or error})") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    # Arbitrary bytes can fail to be a pickle, an archive or a tensor in many ways.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"{path}: expected weights that torch.save or safetensors wrote, but the file is "
            f"damaged or something else ({reason})"
        ) from None


class _Tensor(NamedTuple):
    """A tensor whose storage hasn't been read yet."""

    storage: str
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows only the parts of a state dict."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.dtypes: dict[str, np.dtype] = {}

    def find_class(self, module: str, name: str) -> Any:
        # New functions for each call, since a pickle can set attributes of what it names.
        def tensor(storage, offset, shape, strides, *_):
            return _Tensor(*storage, offset, shape, strides)

        def parameter(data, *_):
            return data

        known = {
            "collections.OrderedDict": collections.OrderedDict,
            "torch._utils._rebuild_tensor_v2": tensor,
            "torch._utils._rebuild_parameter": parameter,
        } | {f"torch.{kind}": dtype for kind, dtype in _DTYPES.items()}
        if f"{module}.{name}" not in known:
            raise UsageError(
                f"refused, since its pickle names {f'{module}.{name}'!r}; expected nothing but "
                "tensors of numbers: save module.state_dict() alone"
            )
        return known[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype]:
        _, dtype, key, _, _, *view = pid
        if any(view):
            raise UsageError("a storage of an unknown kind; save the state dict again")
        self.dtypes[key] = dtype
        return key, dtype


def _read_zip(file: BinaryIO) -> tuple[Any, dict[str, bytes]]:
    with zipfile.ZipFile(file) as archive:
        pickles = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1:
            raise UsageError("a zip archive without PyTorch's data.pkl; expected saved weights")
        with archive.open(pickles[0]) as content:
            unpickler = _Unpickler(content)
            saved = unpickler.load()
        root = pickles[0].removesuffix("data.pkl")
        return saved, {key: archive.read(f"{root}data/{key}") for key in unpickler.dtypes}


def _read_legacy(file: BinaryIO) -> tuple[Any, dict[str, bytes]]:
    file.seek(0)
    if _Unpickler(file).load() != _LEGACY_MAGIC:
        raise UsageError("not a file of PyTorch; expected weights that torch.save wrote")
    for _ in range(2):  # version and byte order
        _Unpickler(file).load()
    unpickler = _Unpickler(file)
    saved, storages = unpickler.load(), {}
    for key in _Unpickler(file).load():
        count = int.from_bytes(file.read(8), "little")
        storages[key] = file.read(count * unpickler.dtypes[key].itemsize)
    return saved, storages


def _named(saved: Any) -> dict[str, _Tensor]:
    """Return the tensors of a state dict, or of a dict of them."""
    tensors = {}
    for key, value in saved.items() if isinstance(saved, dict) else ():
        if isinstance(value, _Tensor):
            tensors[str(key)] = value
        elif isinstance(value, dict) and all(isinstance(each, _Tensor) for each in value.values()):
            tensors |= {f"{key}.{name}": tensor for name, tensor in value.items()}
    if not tensors:
        keys = ", ".join(map(repr, list(saved)[:5])) if isinstance(saved, dict) else ""
        raise UsageError(
            f"holds no state dict, but a {type(saved).__name__}{f' of {keys}' if keys else ''}; "
            "save module.state_dict()"
        )
    return tensors


def _array(tensor: _Tensor, storages: dict[str, bytes]) -> np.ndarray:
    size = tensor.dtype.itemsize
    # NumPy refuses shapes, offsets and strides that leave the storage.
    return np.ndarray(
        tensor.shape,
        tensor.dtype,
        storages[tensor.storage],
        tensor.offset * size,
        tuple(stride * size for stride in tensor.strides),
    )
