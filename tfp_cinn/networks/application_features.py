"""Networks of `keras.applications` as conditioners."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfp_cinn.errors import UsageError
from tfp_cinn.networks.feature_pyramid import image_input

__all__ = ["LightnessToGray", "application_features"]

Tap = str | Sequence[int]

_PADDING = keras.layers.ZeroPadding2D


@keras.saving.register_keras_serializable("tfp_cinn")
class LightnessToGray(keras.layers.Layer):
    """Converts lightness L of CIE Lab, 0 to 100, to sRGB gray levels, 0 to 255.

    With Y = ((L + 16) / 116)^3, or L / 903.3 where L is under 8, the gray level is 255 times the
    sRGB transfer function of Y. Values out of range are clipped.
    """

    def call(self, lightness):
        """Return gray levels of the same shape."""
        lightness = keras.ops.clip(lightness, 0.0, 100.0)
        y = keras.ops.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
        # Keep away from 0, where the unused power has an infinite gradient.
        curved = 1.055 * keras.ops.maximum(y, 1e-3) ** (1 / 2.4) - 0.055
        return 255 * keras.ops.where(y > 0.0031308, curved, 12.92 * y)

    def compute_output_shape(self, input_shape):
        """Return the same shape."""
        return input_shape


def application_features(
    application: str,
    cond_shape: Sequence[int],
    taps: Mapping[str, Tap] | Tap,
    vector: str | None = None,
    enlarge: int = 1,
    weights: str | None = None,
) -> keras.Model:
    """Make a network of a gray image's features, tapped from one of `keras.applications`.

    Maps the lightness `[N, H, W, 1]` in Lab units (0 to 100) to a dict with an entry for each tap.
    Repeats the gray image to three channels and applies the application's preprocessing. Layers
    that no tap needs are left out.

    A tap is a layer's name, or a resolution (h, w) for the last layer of that resolution. Most
    networks halve the resolution right away: to tap one at the image's own resolution, enlarge the
    image first.

    Args:
        application: name of a function of `keras.applications`, such as "MobileNetV2".
        cond_shape: shape (H, W, 1) of the lightness without batch dimension.
        taps: the taps by the names of their entries; or one tap, to return a tensor.
        vector: name of an additional entry, the spatial mean of the network's last layer; None for
            no such entry.
        enlarge: factor by which to enlarge the image first, bilinearly.
        weights: "imagenet" (downloaded once), a weights file, or None for random weights.

    Raises:
        UsageError: if there is no such network, layer or resolution, or the weights aren't
            available.
    """
    if not isinstance(taps, Mapping):
        model = application_features(
            application, cond_shape, {"features": taps}, None, enlarge, weights
        )
        return keras.Model(model.input, model.output["features"], name=model.name)
    image, x = image_input(cond_shape)
    if cond_shape[-1] != 1:
        raise UsageError(f"cond_shape: expected (H, W, 1), got {tuple(cond_shape)}")
    if not taps and vector is None:
        raise UsageError("taps: expected at least one, got none")
    if enlarge < 1:
        raise UsageError(f"enlarge: expected an integer of 1 or more, got {enlarge}")
    size = tuple(n * enlarge for n in cond_shape[:2])
    network, preprocess = _application(application, (*size, 3), weights)
    outputs = {name: _tap(network, application, name, tap) for name, tap in taps.items()}
    if vector is not None:
        outputs[vector] = keras.layers.GlobalAveragePooling2D()(network.output)
    network = keras.Model(network.input, outputs, name=network.name)

    x = LightnessToGray()(x)
    if enlarge > 1:
        x = keras.layers.UpSampling2D(enlarge, interpolation="bilinear")(x)
    x = keras.layers.Concatenate()([x, x, x])
    # Preprocessing of a gray image is affine in each channel, so two points determine it.
    low, high = (preprocess(np.full((1, 1, 3), level, "float32")) for level in (0.0, 255.0))
    scale, offset = ((high - low) / 255).ravel().tolist(), np.ravel(low).tolist()
    x = keras.layers.Rescaling(scale, offset)(x)
    return keras.Model(image, network(x), name=f"{network.name}_features")


def _application(name: str, input_shape: Sequence[int], weights: str | None) -> tuple[Any, Any]:
    """Return the network without its classifier, and its module's `preprocess_input`."""
    make = getattr(keras.applications, name, None)
    if not inspect.isfunction(make):
        raise UsageError(f"application: keras.applications has no network {name!r}")
    try:
        network = make(include_top=False, weights=weights, input_shape=input_shape)
    except Exception as error:  # a download, a file, or a size that the network doesn't take
        reason = " ".join(str(error).split())
        raise UsageError(
            f"application: can't make {name} for images of shape {tuple(input_shape)} with "
            f"weights {weights!r}: {reason}"
        ) from error
    return network, inspect.getmodule(make).preprocess_input


def _tap(network: keras.Model, application: str, entry: str, tap: Tap) -> Any:
    """Return the output of a tapped layer."""
    maps = {}  # the last output of each resolution
    for layer in network.layers:
        shape = getattr(layer.output, "shape", ())
        if layer.name == tap and len(shape) == 4:
            return layer.output
        # With three channels, it is still the image.
        if len(shape) == 4 and shape[-1] != 3 and not isinstance(layer, _PADDING):
            maps[tuple(shape[1:3])] = layer.output
    if isinstance(tap, str):
        raise UsageError(
            f"taps: {application} has no layer {tap!r} with a feature map, for the entry {entry!r}"
        )
    if tuple(tap) not in maps:
        height, width = network.input.shape[1:3]
        sizes = ", ".join(f"{h}x{w}" for h, w in maps)
        raise UsageError(
            f"taps: {application} has feature maps of {sizes} for images of {height}x{width}; "
            f"{entry!r} needs {tap[0]}x{tap[1]}; enlarge the images, or tap others"
        )
    return maps[tuple(tap)]
