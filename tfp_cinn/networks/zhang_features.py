"""The colorization network of Zhang et al. as a conditioner."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfp_cinn.errors import UsageError
from tfp_cinn.networks.feature_pyramid import image_input
from tfp_cinn.networks.torch_layers import batch_norm, conv, conv_transpose

__all__ = ["zhang_features"]


def zhang_features(
    cond_shape: Sequence[int] = (256, 256, 1),
    width: int = 64,
    mean: float = 50.0,
    std: float = 1.0,
) -> keras.Model:
    """Make a VGG-like colorization network's features of a gray image, at a quarter resolution.

    Maps an image `[N, H, W, C]` to `[N, H/4, W/4, 4 width]`. With w = width, 3x3 convolutions with
    ReLUs, each block followed by batch normalization:

        w, w/2 | 2w, 2w/2 | 4w, 4w, 4w/2 | 8w x3 | 8w x3, dilated | 8w x3, dilated | 8w x3

    (/2 for stride 2, dilated by 2), then a transposed 4x4 convolution of stride 2 to 4w, a ReLU,
    4w, a ReLU, 4w. The transposed convolution is unpadded, which adds two pixels in each direction;
    one on every side is cropped at the end, as in the paper's reference code.

    The defaults are that code's backbone (`features` of feature_net.py in colorization_cINN,
    32,154,944 trainable weights), for the lightness in Lab units.

    Source: Zhang, Isola and Efros, "Colorful Image Colorization", arXiv 1603.08511; as conditioner
    of a flow in arXiv 1907.02392, sec. 4.2.

    The image is standardized first, (image - mean) / std; its H and W are divisible by 8.

    Raises:
        UsageError: if a shape or the width is out of range.
    """
    image, x = image_input(cond_shape, mean, std)
    if any(n % 8 for n in cond_shape[:2]):
        raise UsageError(
            f"cond_shape: expected H and W divisible by 8, got {tuple(cond_shape)}; crop the images"
        )
    if width < 1:
        raise UsageError(f"width: expected at least 1, got {width}")

    def relu(x):
        return keras.layers.ReLU()(x)

    # Channels in units of w, number of convolutions, stride of the last one, dilation of all.
    for channels, depth, strides, dilation in [
        (1, 2, 2, 1), (2, 2, 2, 1), (4, 3, 2, 1), (8, 3, 1, 1), (8, 3, 1, 2), (8, 3, 1, 2),
        (8, 3, 1, 1),
    ]:  # fmt: skip
        for n in range(depth):
            step = strides if n == depth - 1 else 1
            x = relu(conv(x, channels * width, strides=step, dilation=dilation))
        x = batch_norm(x)
    x = relu(conv_transpose(x, 4 * width, kernel_size=4, strides=2))
    x = relu(conv(x, 4 * width))
    x = keras.layers.Cropping2D(1)(conv(x, 4 * width))
    return keras.Model(image, x, name="zhang_features")
