"""The conditioner of the paper's minimal colorization example, and its ablation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras

from tfp_cinn.errors import UsageError
from tfp_cinn.networks.subnets import check_widths
from tfp_cinn.networks.torch_layers import LEAKY_SLOPE, conv, dense

__all__ = ["feature_pyramid", "gray_pyramid", "image_input"]


def feature_pyramid(
    cond_shape: Sequence[int],
    levels: Sequence[Sequence[int]] = ((64, 64), (128, 128), (128,)),
    vector: int | None = 512,
    mean: float = 47.5,
    std: float = 25.6,
) -> keras.Model:
    """Make a trainable network of a gray image's features: one map per resolution, and a vector.

    Maps an image `[N, H, W, C]` to a dict with

        level0   [N, H, W, c_0],
        level1   [N, H/2, W/2, c_1], and so on, each of half the resolution before it (rounded up),
        vector   [N, vector]

    A level is a sequence of 3x3 convolutions, the last with stride 2 (except in the first level);
    leaky ReLUs (0.01) separate all convolutions, so a level's output is linear. The vector is a
    linear layer on leaky ReLUs of the last level, averaged over blocks of 4 x 4 pixels (or of the
    whole map, if smaller). Padding and initial weights are PyTorch's.

    The defaults are the conditioning network of the paper's minimal colorization example
    (colorization_minimal_example of its reference code, 1,455,680 weights), for the lightness of 64
    x 64 pixels in Lab units. The inputs of its linear layer are in the order H, W, C, not C, H, W.

    The image is standardized first, (image - mean) / std; `levels` are the channels of the
    convolutions of each level, and `vector` may be None for no such entry.

    Raises:
        UsageError: if a shape or a width is out of range.
    """
    image, x = image_input(cond_shape, mean, std)
    if not levels or not all(levels):
        raise UsageError(f"levels: expected the channels of at least one convolution, got {levels}")
    features = {}
    for k, channels in enumerate(levels):
        check_widths(channels)
        for n, width in enumerate(channels):
            if features or n:
                x = keras.layers.LeakyReLU(LEAKY_SLOPE)(x)
            x = conv(x, width, strides=2 if k and n == len(channels) - 1 else 1)
        features[f"level{k}"] = x
    if vector is not None:
        check_widths([vector])
        x = keras.layers.LeakyReLU(LEAKY_SLOPE)(x)
        x = keras.layers.AveragePooling2D([min(4, n) for n in x.shape[1:3]])(x)
        features["vector"] = dense(keras.layers.Flatten()(x), vector)
    return keras.Model(image, features, name="feature_pyramid")


def gray_pyramid(
    cond_shape: Sequence[int],
    resolutions: Mapping[str, Sequence[int]],
    vector: Sequence[int] | None = None,
    mean: float = 47.5,
    std: float = 25.6,
) -> keras.Model:
    """Make a conditioner without weights: the gray image itself at several resolutions.

    Maps an image `[N, H, W, C]` to a dict of maps `[N, h, w, C]`, means over blocks of pixels, and
    optionally the entry "vector", such a map flattened. For the ablation without a conditioning
    network (arXiv 1907.02392, sec. 4.2).

    The image is standardized first, (image - mean) / std; `resolutions` are (h, w) by name, and
    `vector` is that of the flattened map.

    Raises:
        UsageError: if a resolution doesn't divide the image's.
    """
    image, x = image_input(cond_shape, mean, std)

    def scaled(size):
        if any(n < 1 or side % n for side, n in zip(cond_shape, size, strict=False)):
            raise UsageError(
                f"gray_pyramid: an image of {cond_shape[0]}x{cond_shape[1]} pixels can't be "
                f"averaged to {size[0]}x{size[1]}; crop it to a multiple"
            )
        return keras.layers.AveragePooling2D((cond_shape[0] // size[0], cond_shape[1] // size[1]))(
            x
        )

    features = {name: scaled(size) for name, size in resolutions.items()}
    if vector is not None:
        features["vector"] = keras.layers.Flatten()(scaled(vector))
    return keras.Model(image, features, name="gray_pyramid")


def image_input(cond_shape: Sequence[int], mean: float = 0.0, std: float = 1.0):
    """Return a Keras input for images `[N, H, W, C]`, and (image - mean) / std.

    Raises:
        UsageError: if the shape isn't an image's, or `std` isn't positive.
    """
    if len(cond_shape) != 3 or not all(n >= 1 for n in cond_shape):
        raise UsageError(f"cond_shape: expected (H, W, C) of an image, got {tuple(cond_shape)}")
    if not std > 0:
        raise UsageError(f"std: expected a positive number, got {std}")
    image = keras.Input(tuple(cond_shape), name="image")
    if (mean, std) == (0.0, 1.0):
        return image, image
    return image, keras.layers.Rescaling(1 / std, -mean / std)(image)
