"""Model files: what can be rebuilt from one is known before it is written."""

from __future__ import annotations

import collections
import contextlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import keras
from keras.src.backend.common import global_state

from tfp_cinn.bijectors import ConditionalBijector
from tfp_cinn.errors import UsageError, reason

__all__ = ["load_file", "serialize_shared", "sharing", "why_not_savable"]

_SHARED = "shared_object_id"  # Keras's name in a config
_FUNCTIONS = (keras.activations, keras.constraints, keras.initializers, keras.regularizers)


def load_file(path: str, custom_objects: Mapping[str, Any] | None = None) -> keras.Model:
    """Load a `.keras` file in Keras's safe mode, which executes nothing in it.

    Raises:
        UsageError: if there is no such file, it is damaged, or names what isn't known here.
    """
    # A model names classes of these; each registers its own when it is imported.
    from tfp_cinn import fused_adam, networks  # noqa: F401

    if not os.path.isfile(path):
        raise UsageError(f"{path}: no such model file")
    try:
        with zipfile.ZipFile(path) as archive:
            # Keras writes none and takes them: four megabytes could ask for four gigabytes.
            packed = [i.filename for i in archive.infolist() if i.compress_type]
            if packed:
                raise UsageError(f"{path}: its part {packed[0]} is compressed, as in no model file")
            if damaged := archive.testzip():  # Keras doesn't look at checksums
                raise UsageError(f"{path}: damaged, in its part {damaged}")
        return keras.saving.load_model(path, custom_objects=custom_objects, safe_mode=True)
    except UsageError:
        raise
    except zipfile.BadZipFile:
        raise UsageError(f"{path}: damaged, cut short, or no .keras file") from None
    except Exception as error:  # whatever Keras finds wrong with a stranger's archive
        why = reason(error)
        if "objects could not be loaded" in str(error):
            why = "its weights aren't those of this version's layers; train it again"
        raise UsageError(f"{path}: can't be loaded as a model: {why}") from error


def why_not_savable(model: keras.Model) -> str | None:
    """Say in one line what `load_file` couldn't rebuild in another process; None if it could."""
    try:
        config = keras.saving.serialize_keras_object(model)
    except (NotImplementedError, TypeError, ValueError) as error:
        return reason(error)
    unknown = filter(None, map(_unknown, _descriptions(config)))
    return next(unknown, None) or _shared_subnet(model.bijector)


def serialize_shared(bijector: ConditionalBijector, conditioner: Any) -> list[dict[str, Any]]:
    """Serialize a flow's parts so that layers and bijectors that they share stay shared.

    Keras keeps what is shared side by side in one config, and loses what lies deeper. Here each
    layer or bijector that comes twice is numbered where Keras's loader looks for it.
    """
    bijectors = _all(bijector)
    layers = [layer for b in bijectors for layer in b.layers]
    if conditioner is not None:
        layers.append(conditioner)
    inner = [part for layer in layers for part in layer._flatten_layers()]
    known = set(map(id, [*bijectors, *inner]))
    with _keras_state("id_to_config_map", _EveryObject()):
        configs = keras.saving.serialize_keras_object([bijector, conditioner])
    found = [d for d in _descriptions(configs) if _SHARED in d]
    times = collections.Counter(d[_SHARED] for d in found)
    numbers = {key: k for k, key in enumerate(times) if key in known and times[key] > 1}
    for described in found:
        key = described.pop(_SHARED)
        if key in numbers:
            described[_SHARED] = numbers[key]
    return configs


def sharing() -> contextlib.AbstractContextManager[None]:
    """Context in which an object that `serialize_shared` numbered is made once."""
    return _keras_state("id_to_obj_map", {})


class _EveryObject(dict):
    """Has Keras write every object's id, as it does for those that it has met before."""

    def __contains__(self, key):
        return True

    def __missing__(self, key):
        return {}


@contextlib.contextmanager
def _keras_state(name, value):
    name = f"shared_objects/{name}"
    before = global_state.get_global_attribute(name)
    global_state.set_global_attribute(name, value)
    try:
        yield
    finally:
        global_state.set_global_attribute(name, before)


def _all(bijector: ConditionalBijector) -> list[ConditionalBijector]:
    """The bijector and all that it is made of, each once."""
    parts = {id(b): b for member in bijector.members() for b in _all(member)}
    return [bijector, *parts.values()]


def _shared_subnet(bijector: ConditionalBijector) -> str | None:
    """Name a layer in the subnets of two couplings, which their makers would make twice."""
    owners: dict[int, str] = {}
    for b in _all(bijector):
        if b.members():
            continue
        for layer in (part for subnet in b.layers for part in subnet._flatten_layers()):
            if id(layer) in owners:
                return (
                    f"the subnets of {owners[id(layer)]} and {b.name} share the layer "
                    f"{layer.name}; have their maker make a new one at each call"
                )
            owners[id(layer)] = b.name
    return None


def _descriptions(config: Any) -> Iterator[dict[str, Any]]:
    """All parts of a config that Keras would make an object of, in order."""
    left = [config]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            if "class_name" in item:
                yield item
            left += reversed(item.values())
        elif isinstance(item, (list, tuple)):
            left += reversed(item)


def _unknown(described: Mapping[str, Any]) -> str | None:
    """Say why a class or a function of a config can't be rebuilt; None if it can."""
    name, module = described["class_name"], described.get("module")
    if name in ("Lambda", "__lambda__"):
        return "a Lambda can run code, so that load_model refuses it; write a registered layer"
    is_function = name == "function"
    if is_function:
        name = described["config"]
    registered = name if is_function else described.get("registered_name") or name
    if keras.saving.get_registered_object(registered) is not None or name.startswith("__"):
        return None
    if is_function and any(hasattr(m, name) for m in _FUNCTIONS):
        return None
    if module and module.split(".")[0] == "keras":
        return None
    return f"{name} isn't registered; use keras.saving.register_keras_serializable"
