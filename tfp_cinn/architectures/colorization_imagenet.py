"""The paper's colorization flow for ImageNet."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tfp_cinn.architectures.conditioning import (
    Couplings,
    ImagePairs,
    image_shapes,
    make_conditioner,
)
from tfp_cinn.bijectors import (
    Chain,
    Embed,
    FactorOut,
    Flatten,
    HaarDownsampling,
    RandomPermutation,
    Select,
    SoftPermutation,
    Squeeze,
    Standardize,
)
from tfp_cinn.errors import UsageError
from tfp_cinn.model import CINN
from tfp_cinn.networks import (
    ConvNet,
    application_features,
    gray_pyramid,
    strided_features,
    strided_vector,
    zhang_features,
)

__all__ = ["colorization_imagenet"]


def colorization_imagenet(
    data: ImagePairs,
    *,
    blocks: Sequence[int] = (4, 6, 6, 6),
    widths: Sequence[int] = (32, 64, 128, 256),
    mixing_widths: Sequence[int] = (64, 128, 256, 256),
    keep: Sequence[int] = (0, 16, 32, 32),
    strided: Sequence[int] = (128, 128, 256),
    dense_blocks: int = 8,
    dense_hidden: Sequence[int] = (512, 512, 512),
    dense_strided: Sequence[int] = (128, 256, 256, 512),
    clamp: float = 1.5,
    clamp_type: str = "arctan",
    init_std: float | None = 0.03,
    zero_last: bool = True,
    conditioner: str = "joint",
    backbone: str = "zhang",
    backbone_width: int = 64,
    tap: str | None = None,
    enlarge: int = 1,
    weights: str | None = None,
    pretrained: str | None = None,
    subnet_dtype: str | None = None,
    weight_prior: float = 0.0,
    mean: float | Sequence[float] = (2.4, 7.4),
    std: float | Sequence[float] = (11.2, 16.8),
    cond_mean: float = 50.0,
    cond_std: float = 1.0,
) -> CINN:
    """Build the flow of color given lightness from the paper's experiment on ImageNet.

        x -> Standardize -> section 0 -> ... -> section 3 -> Flatten
          -> [permutation, dense block] * 8 -> z
        section k: [conv block, rotation] * blocks[k] -> downsampling
                   -> [rotation, 1x1 block] * 2 -> FactorOut(keep[k])

    The condition is one feature map at the resolution of x. Each conv block, a Glow coupling with
    3x3 kernels, has its own network (`Embed` of `tfp_cinn.networks.strided_features`) that brings
    it to the section's resolution; the dense blocks share one (`tfp_cinn.networks.strided_vector`);
    the 1x1 blocks are unconditional. Downsampling is by `Squeeze`, in the last section by Haar
    wavelets ordered by wavelet; no latents leave the first section. Rotations are random and fixed;
    dense block k is permuted with seed k.

    The defaults are the published network, where x is the chroma ab of 64 x 64 pixels and c the
    lightness L of 256 x 256, both in Lab units: 54,352,208 weights in the blocks and their
    networks, 2,361,472 in the network that the dense blocks share, and 32,154,944 in the backbone
    (colorization_cINN of the reference code; with its weights and rotations, this is the same
    function, up to the order of z within a scale). Two accidents of its initialization aren't
    reproduced: its rotations may be reflections, and at 32 x 32 the batch normalization in the
    blocks' networks starts at zero.

    "frozen" freezes only the backbone; the networks on top of it are trained with the flow.

    Args:
        data: the data set, for the shapes of x and c; H and W of x must be divisible by
            2^(number of sections).
        blocks: number of conv blocks in each section; its length is the number of sections.
        widths: for each section, channels of the subnets' two hidden layers and of the condition.
        mixing_widths: channels of the two hidden layers in the 1x1 blocks' subnets.
        keep: number of channels kept at the end of each section; 0 for all.
        strided: channels of the strided convolutions before a block's condition; section k uses the
            first k.
        dense_blocks: number of dense blocks.
        dense_hidden: widths of the hidden layers of their subnets.
        dense_strided: channels of the convolutions before their condition.
        clamp: bound of the log-scale, nats.
        init_std: see `tfp_cinn.architectures`; also of the conv blocks' conditioning networks.
        conditioner: see there; with "none", the vector is the gray image at the last section's
            resolution.
        backbone: "zhang" (`tfp_cinn.networks.zhang_features`), or the name of a network of
            `keras.applications`.
        backbone_width: width of "zhang".
        tap: for other backbones, the name of a layer at the resolution of x; None for the last one.
        clamp_type, zero_last, subnet_dtype, enlarge, weights, pretrained: see there.
        weight_prior, mean, std, cond_mean, cond_std: likewise.

    Raises:
        UsageError: if a field is out of range, or the backbone's features don't have the resolution
            of x.
    """
    sections = len(blocks)
    for field, value, length in (
        ("widths", widths, sections), ("mixing_widths", mixing_widths, sections),
        ("keep", keep, sections), ("strided", strided, sections - 1),
    ):  # fmt: skip
        if len(value) < length:
            raise UsageError(
                f"{field}: expected {length} values, as there are {sections} sections of blocks, "
                f"got {tuple(value)}"
            )
    (height, width, channels), cond_shape = image_shapes(data, divisor=2**sections)

    def features():
        if backbone == "zhang":
            return zhang_features(cond_shape, backbone_width, cond_mean, cond_std)
        size = (height, width)
        return application_features(backbone, cond_shape, tap or size, None, enlarge, weights)

    def gray():
        sizes = [(height >> k, width >> k) for k in range(sections + 1)]
        maps = {f"level{k}": size for k, size in enumerate(sizes[:-1])}
        return gray_pyramid(cond_shape, maps, sizes[-1], cond_mean, cond_std)

    network = make_conditioner(conditioner, features, gray, (height, width), pretrained)
    couplings = Couplings(clamp_type, init_std, zero_last, subnet_dtype)
    seeds = itertools.count()

    def given_map(section, bijector):
        if conditioner == "none":
            return Select(f"level{section}", bijector)
        own = strided_features(
            network.output.shape[1:], strided[:section], widths[section], init_std
        )
        return Embed(own, bijector)

    def given_vector(bijector):
        if conditioner == "none":
            return Select("vector", bijector)
        return Embed(strided_vector(network.output.shape[1:], dense_strided), bijector)

    def from_section(k):
        """Return the flow from section k on."""
        if k == sections:
            members = []
            for n in range(dense_blocks):
                coupling = couplings.of_vectors(dense_hidden, clamp)
                members += [RandomPermutation(seed=n), coupling]
            return [Flatten(channels_first=True), given_vector(Chain(members))]
        members = []
        for _ in range(blocks[k]):
            coupling = couplings.of_maps(ConvNet, [widths[k]] * 2, clamp, negative_slope=0.05)
            members += [given_map(k, coupling), SoftPermutation(next(seeds))]
        last = k == sections - 1
        members.append(HaarDownsampling(0.5, order_by_wavelet=True) if last else Squeeze())
        for _ in range(2):
            hidden = [mixing_widths[k]] * 2
            coupling = couplings.of_maps(ConvNet, hidden, clamp, kernel_size=1, negative_slope=0.01)
            members += [SoftPermutation(next(seeds)), Select(None, coupling)]
        rest = from_section(k + 1)
        return [*members, FactorOut(keep[k], Chain(rest))] if keep[k] else [*members, *rest]

    return CINN(
        Chain([Standardize(mean, std), *from_section(0)]),
        (height, width, channels),
        conditioner=network,
        cond_shape=cond_shape,
        weight_prior=weight_prior,
        name="cinn",
    )
