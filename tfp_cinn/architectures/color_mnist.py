"""The paper's flow for colored digits."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfp_cinn.architectures.conditioning import (
    Couplings,
    ImagePairs,
    image_shapes,
    make_conditioner,
    permute,
)
from tfp_cinn.bijectors import Chain, Embed, Flatten, Select, Standardize
from tfp_cinn.errors import UsageError
from tfp_cinn.model import CINN
from tfp_cinn.networks import DenseConvNet, digit_features, gray_pyramid

__all__ = ["color_mnist"]


def color_mnist(
    data: ImagePairs,
    *,
    conv_blocks: int = 3,
    conv_hidden: Sequence[int] = (64, 64),
    dense_blocks: int = 7,
    dense_hidden: Sequence[int] = (256, 256),
    dense_features: int = 0,
    clamp: float = 1.9,
    clamp_type: str = "arctan",
    permutation: str = "random",
    init_std: float | None = 0.03,
    zero_last: bool = True,
    conditioner: str = "joint",
    cond_width: int = 64,
    cond_channels: Sequence[int] = (32, 64, 64, 64),
    cond_hidden: Sequence[int] = (512, 512),
    cond_dropout: float = 0.5,
    padded: bool = False,
    pretrained: str | None = None,
    subnet_dtype: str | None = None,
    weight_prior: float = 0.0,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    cond_mean: float = 0.0,
    cond_std: float = 1.0,
) -> CINN:
    """Build the flow of a colored digit given the gray one: 1x1 blocks, then dense blocks.

        x -> Standardize -> [permutation, 1x1 block] * 3      given digit and features
          -> Flatten -> [permutation, dense block] * 7 -> z   given nothing, unless dense_features

    Blocks are Glow couplings; block k of each kind is permuted with seed k. The 1x1 blocks have
    densely connected subnets (`tfp_cinn.networks.DenseConvNet`), conditioned at each pixel on the
    gray digit and the vector of `tfp_cinn.networks.digit_features`. The dense blocks are
    unconditional, unless `dense_features` gives them linear features of both.

    The defaults are the paper's color-MNIST flow, where x is an RGB image and c a digit of 28 x 28
    pixels, both from 0 to 1: 13,681,884 weights, and 912,960 in the conditioner (`colorize` in
    mnist_cINN of the reference code; with its weights, this is the same function). There the
    conditioner is first trained to classify digits, then frozen with its dropout active.

    Args:
        data: the data set, for the shapes of x and c, which must have the same resolution.
        conv_blocks: number of 1x1 blocks.
        conv_hidden: channels of the hidden layers of their subnets.
        dense_blocks: number of dense blocks.
        dense_hidden: widths of the hidden layers of their subnets.
        dense_features: number of features of the condition that they get; 0 in the paper.
        clamp: bound of the log-scale, nats.
        cond_width: length of the vector; see `tfp_cinn.networks.digit_features`.
        cond_channels: likewise.
        cond_hidden: likewise.
        cond_dropout: likewise.
        padded: likewise.
        clamp_type, permutation, init_std, zero_last, subnet_dtype: see `tfp_cinn.architectures`.
        conditioner, pretrained, weight_prior, mean, std, cond_mean, cond_std: likewise.

    Raises:
        UsageError: if a field is out of range, or x and c have different resolutions.
    """
    if dense_features < 0:
        raise UsageError(f"dense_features: expected 0 or more, got {dense_features}")
    image_shape, cond_shape = image_shapes(data)

    def features():
        return digit_features(
            cond_shape, cond_width, cond_channels, cond_hidden, cond_dropout, padded,
            cond_mean, cond_std,
        )  # fmt: skip

    def gray():
        return gray_pyramid(cond_shape, {"level0": image_shape[:2]}, None, cond_mean, cond_std)

    network = make_conditioner(conditioner, features, gray, image_shape[:2], pretrained)
    couplings = Couplings(clamp_type, init_std, zero_last, subnet_dtype)
    members = [Standardize(mean, std)]
    for k in range(conv_blocks):
        coupling = couplings.of_maps(DenseConvNet, conv_hidden, clamp)
        if conditioner == "none":
            coupling = Select("level0", coupling)
        members += [permute(permutation, seed=k), coupling]
    members.append(Flatten(channels_first=True))
    dense = []
    for k in range(dense_blocks):
        coupling = couplings.of_vectors(dense_hidden, clamp, negative_slope=0.01)
        # All dense blocks share one embedding of the condition.
        dense += [
            permute(permutation, seed=k),
            coupling if dense_features else Select(None, coupling),
        ]
    if dense_features:
        linear = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(dense_features)])
        dense = [Embed(linear, Chain(dense))]
        if conditioner == "none":
            dense = [Select("level0", dense[0])]
    members += dense
    return CINN(
        Chain(members),
        image_shape,
        conditioner=network,
        cond_shape=cond_shape,
        weight_prior=weight_prior,
        name="cinn",
    )
