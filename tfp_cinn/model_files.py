"""Model files of strangers: what is in them is looked at before any of it is used."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import h5py
import keras

from tfp_cinn.errors import UsageError

__all__ = ["check_model_file"]

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {_CONFIG, _WEIGHTS, "metadata.json"}
_MOST_CONFIG = 1 << 26  # bytes; that of the largest published flow here has 1.5 MB

# What a flow can be made of. All other modules of Keras hold things that read files or the network.
_MODULES = {
    "keras": {"DTypePolicy", "Functional", "Sequential", "Model", "Variable"},
    "keras.src.models.functional": {"Functional"},
    "keras.models": {"Functional", "Sequential", "Model"},
    "keras.activations": None,
    "keras.constraints": None,
    "keras.initializers": None,
    "keras.layers": None,
    "keras.optimizers": None,
    "keras.optimizers.schedules": None,
    "keras.regularizers": None,
}
# Layers that call what a config names, or open files.
_REFUSED = {
    "FlaxLayer",
    "IntegerLookup",
    "JaxLayer",
    "Lambda",
    "StringLookup",
    "TFSMLayer",
    "TextVectorization",
    "TorchModuleWrapper",
}
_OPERATIONS = "keras.src.ops."
_VALUES = {"__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__"}


def check_model_file(path: str) -> None:
    """Refuses a `.keras` file that is damaged, or could do more than be a model.

    The archive must hold what Keras writes and nothing else, uncompressed, so that nothing in it
    is larger than the file. Its config may name the layers, initializers, optimizers and the like
    of Keras, without those that call functions or open files, and classes and functions that are
    registered with `keras.saving.register_keras_serializable` in this process. Its weights may be
    arrays, stored in the file as they are: no links, no external or virtual ones, none that
    declares more than it holds.

    Args:
        path: the file.

    Raises:
        UsageError: says what was found.
        zipfile.BadZipFile: the file is no archive, or cut short.
    """
    size = os.path.getsize(path)
    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist()]
        if sorted(names) != sorted(_MEMBERS):
            unknown = next((name for name in names if name not in _MEMBERS), None)
            what = (
                f"also holds {unknown!r}" if unknown else f"holds {', '.join(names) or 'nothing'}"
            )
            raise UsageError(
                f"{path}: expected the parts {', '.join(sorted(_MEMBERS))}, once each; it {what}"
            )
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
                raise UsageError(
                    f"{path}: its part {info.filename} is compressed or declares more bytes than "
                    "the file has, which no model file of Keras does; refused"
                )
        damaged = archive.testzip()
        if damaged:
            raise UsageError(f"{path}: the model file is damaged, in its part {damaged}")
        if archive.getinfo(_CONFIG).file_size > _MOST_CONFIG:
            raise UsageError(f"{path}: its {_CONFIG} is too long for a model's; refused")
        try:
            config = json.loads(archive.read(_CONFIG))
        except (ValueError, RecursionError):
            raise UsageError(f"{path}: its {_CONFIG} is no JSON; the file is damaged") from None
        for described in _descriptions(config):
            reason = _unknown(described)
            if reason:
                raise UsageError(f"{path}: its config names {reason}")
        # In memory, as Keras does: seeking backwards in an archive reads it anew each time.
        _check_weights(io.BytesIO(archive.read(_WEIGHTS)), path)


def _descriptions(config: Any) -> Iterator[Mapping[str, Any]]:
    """All parts of a config that Keras would make an object of."""
    left = [config]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            if "class_name" in item:
                yield item
            left += item.values()
        elif isinstance(item, list):
            left += item


def _unknown(described: Mapping[str, Any]) -> str | None:
    """What is wrong with a class or a function that a config names; None if nothing is."""
    name, module = described["class_name"], described.get("module")
    registered = described.get("registered_name") or name
    if name == "function":
        name = registered = described.get("config")
    if not isinstance(name, str) or not isinstance(registered, str):
        return f"a class in an unknown way ({str(name)[:60]!r}); refused"
    shown = f"{module}.{name}"[:100] if module else name[:100]
    if name in _REFUSED or name == "__lambda__":
        return f"{shown}, which can run code or open files; refused"
    if keras.saving.get_registered_object(registered) is not None:
        return None
    if module is None:
        known = name in _VALUES
    elif module == "builtins":
        known = described["class_name"] == "function"  # which Keras looks up among its own
    else:
        allowed = _MODULES.get(module, ()) if isinstance(module, str) else ()
        known = allowed is None or name in allowed or str(module).startswith(_OPERATIONS)
    if known:
        return None
    return (
        f"{shown}, which is neither a layer of Keras nor registered here; import the package that "
        "registers it first, if you trust it"
    )


def _check_weights(file: BinaryIO, path: str) -> None:
    try:
        with h5py.File(file) as weights:
            groups, seen = [weights], set()
            while groups:
                group = groups.pop()
                where = h5py.h5o.get_info(group.id).addr
                if where in seen:
                    continue
                seen.add(where)
                for name in group:
                    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                        raise UsageError(f"{path}: its weights hold the link {name!r}; refused")
                    item = group[name]
                    if isinstance(item, h5py.Group):
                        groups.append(item)
                    elif not _is_plain(item):
                        raise UsageError(
                            f"{path}: its weights hold {name!r}, which is no array stored as it "
                            "is; refused"
                        )
    except UsageError:
        raise
    except Exception as error:  # h5py raises almost anything on damage
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: its weights can't be read ({reason})") from None


def _is_plain(item: Any) -> bool:
    return (
        isinstance(item, h5py.Dataset)
        and item.chunks is None
        and not item.external
        and not item.is_virtual
        and item.dtype.kind in "biuf"
        and item.nbytes == item.id.get_storage_size()
    )
