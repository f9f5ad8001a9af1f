"""Small networks on top of features, for the blocks of a flow."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfp_cinn.networks.feature_pyramid import image_input
from tfp_cinn.networks.subnets import check_widths
from tfp_cinn.networks.torch_layers import LEAKY_SLOPE, batch_norm, conv

__all__ = ["strided_features", "strided_vector"]


def strided_features(
    cond_shape: Sequence[int],
    strided: Sequence[int],
    channels: int,
    init_std: float | None = None,
) -> keras.Model:
    """Make a network that lowers the resolution of features by strided convolutions.

    Maps features `[N, H, W, C]` to `[N, H / 2^k, W / 2^k, channels]` (rounded up), with k
    convolutions of 3x3 and stride 2, each with a leaky ReLU (0.01), then one of 3x3 and stride 1
    and batch normalization. Each conditional block of the paper's ImageNet flow has one
    (`cond_subnet` of colorization_cINN); see `tfp_cinn.bijectors.Embed`.

    `strided` are the channels of the strided convolutions, none or more. `init_std` is the standard
    deviation of all initial weights, including those of the batch normalization, as in the
    published code; None for PyTorch's defaults.

    Raises:
        UsageError: if a shape or a width is out of range.
    """
    check_widths([*strided, channels])
    image, x = image_input(cond_shape)
    for width in strided:
        x = conv(x, width, strides=2, init_std=init_std)
        x = keras.layers.LeakyReLU(LEAKY_SLOPE)(x)
    x = batch_norm(conv(x, channels, init_std=init_std), init_std)
    return keras.Model(image, x, name="strided_features")


def strided_vector(
    cond_shape: Sequence[int], strided: Sequence[int] = (128, 256, 256, 512)
) -> keras.Model:
    """Make a network that reduces features to a vector.

    Maps features `[N, H, W, C]` to `[N, strided[-1]]`: 3x3 convolutions of stride 2 with leaky
    ReLUs (0.01) between them, the spatial mean, batch normalization. The defaults are the network
    that the dense blocks of the paper's ImageNet flow share (`fc_cond_net` of colorization_cINN),
    with PyTorch's initial weights.

    Raises:
        UsageError: if a shape or a width is out of range.
    """
    check_widths(strided)
    image, x = image_input(cond_shape)
    for n, width in enumerate(strided):
        if n:
            x = keras.layers.LeakyReLU(LEAKY_SLOPE)(x)
        x = conv(x, width, strides=2)
    x = batch_norm(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, x, name="strided_vector")
