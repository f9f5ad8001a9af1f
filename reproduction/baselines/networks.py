"""The networks that the baselines share."""

import keras
import numpy as np
from keras import layers

from tfp_cinn.bijectors.shapes import Shape
from tfp_cinn.errors import UsageError

SLOPE = 0.2  # below zero, of all activations


class Seeds:
    """Numbers for initializers, a new one at each call, as a function of one seed."""

    def __init__(self, seed: int):
        self._generator = np.random.default_rng(seed % (1 << 63))

    def __call__(self) -> int:
        return int(self._generator.integers(1 << 31))


class NoiseDropout(layers.Dropout):
    """Dropout in training and sampling alike, pix2pix's source of noise."""

    def call(self, inputs, training=None):
        return super().call(inputs, training=True)


class _Maker:
    """Makes layers of one style."""

    def __init__(self, seeds: Seeds, norm: str):
        self.seeds, self._norm = seeds, norm

    def linear(self, layer, *arguments, gain=2.0, **options):
        """A layer with He-normal weights, or of another gain."""
        mode = "fan_in"
        if layer is layers.Conv2DTranspose:
            # Keras takes its outputs for its inputs; and of those, a stride of 2 meets a quarter.
            gain, mode = 4 * gain, "fan_out"
        start = keras.initializers.VarianceScaling(
            gain, mode, "untruncated_normal", seed=self.seeds()
        )
        return layer(*arguments, kernel_initializer=start, **options)

    def __call__(self, h, layer, *arguments, norm=True, **options):
        """Layer - normalization, if wanted - leaky ReLU."""
        # A vector by itself has nothing to be normalized over.
        per_image = self._norm == "instance" and layer is not layers.Dense
        norm = norm and (per_image or self._norm == "batch")
        h = self.linear(layer, *arguments, use_bias=not norm, **options)(h)
        if norm:
            kind = layers.GroupNormalization(groups=-1) if per_image else None
            h = (kind or layers.BatchNormalization(momentum=0.98))(h)
        return layers.LeakyReLU(SLOPE)(h)

    def down(self, h, channels, norm=True):
        """Half the rows and columns."""
        return self(h, layers.Conv2D, channels, 4, 2, padding="same", norm=norm)

    def up(self, h, channels):
        """Twice the rows and columns."""
        return self(h, layers.Conv2DTranspose, channels, 4, 2, padding="same")

    def same(self, h, channels, norm=True):
        """As many rows and columns."""
        return self(h, layers.Conv2D, channels, 3, padding="same", norm=norm)


def decoder(
    image_shape: Shape,
    cond_shape: Shape,
    noise: int,
    widths: tuple[int, ...],
    hidden: int,
    seeds: Seeds,
    norm: str = "",
    dropout: float = 0.0,
    activation: str = "linear",
) -> keras.Model:
    """A network from a condition and noise to an image.

    The condition's features at each resolution down to a vector, joined by the noise; up again, at
    each resolution joined by those features: a U-Net with noise at its bottom. A label only joins
    the noise.

    Args:
        image_shape: `(H, W, C)` of the image.
        cond_shape: `(H, W, C_c)`, or `(classes,)`.
        noise: dimensions of the noise; 0 for none, and inputs `[cond]` instead of `[cond, z]`.
        widths: channels at half the resolution, a quarter of it, ....
        hidden: width of the vector.
        seeds: of the weights.
        norm: "batch" for batch normalization, "instance" for that of each image by itself (of
            convolutions alone), "" for none.
        dropout: share of the channels' numbers that is dropped on the way up, below full
            resolution, in sampling as well.
        activation: of the output.

    Raises:
        UsageError: if the resolution can't be halved so often.
    """
    if any(side % (1 << len(widths)) for side in image_shape[:2]):
        raise UsageError(
            f"image_shape: expected rows and columns divisible by {1 << len(widths)}, got "
            f"{image_shape[:2]}; crop or pad the images"
        )
    make = _Maker(seeds, norm)
    cond = h = keras.Input(cond_shape)
    skips, inputs = [], [cond]
    if len(cond_shape) == 3:
        for level, width in enumerate(widths):
            h = make.down(h, width, norm=level > 0)
            skips.append(h)
        h = layers.Flatten()(h)
    if noise:
        inputs.append(keras.Input((noise,)))
        h = layers.Concatenate()([h, inputs[1]])
    h = make(h, layers.Dense, hidden)
    rows, columns = (side >> len(widths) for side in image_shape[:2])
    h = make(h, layers.Dense, rows * columns * widths[-1])
    h = layers.Reshape((rows, columns, widths[-1]))(h)
    for level in reversed(range(len(widths))):
        if skips:
            h = layers.Concatenate()([h, skips[level]])
        if level:
            h = make.up(h, widths[level - 1])
            if dropout:
                h = NoiseDropout(dropout, seed=seeds())(h)
    last = make.linear(layers.Conv2DTranspose, image_shape[2], 4, 2, padding="same", gain=1.0)
    return keras.Model(inputs, layers.Activation(activation)(last(h)))


def encoder(
    image_shape: Shape,
    cond_shape: Shape,
    outputs: int,
    widths: tuple[int, ...],
    hidden: int,
    seeds: Seeds,
) -> keras.Model:
    """A network from an image and a condition, `[x, cond]`, to a vector.

    Args:
        image_shape: `(H, W, C)`.
        cond_shape: `(H, W, C_c)`, or `(classes,)`.
        outputs: width of the vector.
        widths: channels at half the resolution, a quarter of it, ....
        hidden: width of the layer before the last.
        seeds: of the weights.
    """
    make = _Maker(seeds, norm="")
    x, cond = keras.Input(image_shape), keras.Input(cond_shape)
    h = layers.Concatenate()([x, cond]) if len(cond_shape) == 3 else x
    for width in widths:
        h = make.down(h, width)
    h = layers.Flatten()(h)
    if len(cond_shape) == 1:
        h = layers.Concatenate()([h, cond])
    h = make(h, layers.Dense, hidden)
    return keras.Model([x, cond], make.linear(layers.Dense, outputs, gain=0.1)(h))


def patch_discriminator(
    image_shape: Shape, cond_shape: Shape, widths: tuple[int, ...], seeds: Seeds
) -> keras.Model:
    """pix2pix's discriminator: a logit for each patch of an image `[x, cond]`.

    Args:
        image_shape: `(H, W, C)`.
        cond_shape: `(H, W, C_c)`.
        widths: channels at half the resolution, a quarter of it, ..., and of one more layer there.
        seeds: of the weights.
    """
    make = _Maker(seeds, norm="instance")
    x, cond = keras.Input(image_shape), keras.Input(cond_shape)
    h = layers.Concatenate()([x, cond])
    for number, width in enumerate(widths[:-1]):
        h = make.down(h, width, norm=number > 0)
    h = make.same(h, widths[-1])
    return keras.Model([x, cond], make.linear(layers.Conv2D, 1, 3, padding="same", gain=1.0)(h))
