"""The conditioner of the paper's color-MNIST flow."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfp_cinn.errors import UsageError
from tfp_cinn.networks.feature_pyramid import image_input
from tfp_cinn.networks.subnets import check_widths
from tfp_cinn.networks.torch_layers import conv, dense

__all__ = ["digit_features"]


def digit_features(
    cond_shape: Sequence[int] = (28, 28, 1),
    width: int = 64,
    channels: Sequence[int] = (32, 64, 64, 64),
    hidden: Sequence[int] = (512, 512),
    dropout: float = 0.5,
    padded: bool = False,
    mean: float = 0.0,
    std: float = 1.0,
) -> keras.Model:
    """Make a network that appends a vector of features to each pixel of a gray image.

    Maps an image `[N, H, W, C]` to `[N, H, W, C + width]`: the image, and a vector from four 3x3
    convolutions with 2 x 2 max-pooling after the second and the fourth, and linear layers with
    dropout before each. There are no other nonlinearities, as in the reference code.

    The defaults are the conditioning network of the paper's color-MNIST flow (cond_net.py of
    mnist_cINN without its classifier, 912,960 weights), for a digit with pixels from 0 to 1.

    The image is standardized first, (image - mean) / std; `channels` are those of the four
    convolutions and `hidden` the widths of the linear layers before the last. With `padded`, which
    images under 16 pixels need, the convolutions are padded with zeros.

    Raises:
        UsageError: if a shape, width or rate is out of range, or the image is too small.
    """
    check_widths([*channels, *hidden, width])
    if len(channels) != 4:
        raise UsageError(f"channels: expected those of four convolutions, got {tuple(channels)}")
    if not 0 <= dropout < 1:
        raise UsageError(f"dropout: expected a rate from 0 to below 1, got {dropout}")
    image, gray = image_input(cond_shape, mean, std)
    smallest = 4 if padded else 16
    if min(cond_shape[:2]) < smallest:
        raise UsageError(
            f"cond_shape: expected at least {smallest} pixels a side, got {tuple(cond_shape)}"
            + ("" if padded else "; or set padded=True")
        )
    x = gray
    for n, c in enumerate(channels):
        x = conv(x, c, padded=padded)
        if n % 2:
            x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Flatten()(x)
    for units in (*hidden, width):
        x = dense(keras.layers.Dropout(dropout)(x), units)
    x = keras.layers.UpSampling2D(cond_shape[:2])(keras.layers.Reshape((1, 1, width))(x))
    return keras.Model(image, keras.layers.Concatenate()([gray, x]), name="digit_features")
