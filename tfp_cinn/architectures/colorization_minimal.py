"""The paper's minimal colorization flow."""

from __future__ import annotations

from collections.abc import Sequence

from tfp_cinn.architectures.conditioning import (
    Couplings,
    ImagePairs,
    image_shapes,
    make_conditioner,
    permute,
)
from tfp_cinn.bijectors import (
    Chain,
    FactorOut,
    Flatten,
    HaarDownsampling,
    Select,
    Standardize,
)
from tfp_cinn.errors import UsageError
from tfp_cinn.model import CINN
from tfp_cinn.networks import (
    ConvNet,
    application_features,
    feature_pyramid,
    gray_pyramid,
)

__all__ = ["colorization_minimal"]

_LEVELS = ("level0", "level1", "level2")


def colorization_minimal(
    data: ImagePairs,
    *,
    blocks: Sequence[int] = (2, 4, 4, 4),
    widths: Sequence[int] = (32, 64, 128, 512),
    clamps: Sequence[float] = (1.0, 1.0, 0.6, 0.6),
    clamp_type: str = "arctan",
    keep: Sequence[int] = (2, 4),
    permutation: str = "random",
    init_std: float | None = 0.02,
    zero_last: bool = False,
    conditioner: str = "joint",
    backbone: str = "pyramid",
    levels: Sequence[Sequence[int]] = ((64, 64), (128, 128), (128,)),
    vector: int = 512,
    taps: Sequence[str] | None = None,
    enlarge: int = 1,
    weights: str | None = None,
    pretrained: str | None = None,
    subnet_dtype: str | None = None,
    weight_prior: float = 0.0,
    mean: float | Sequence[float] = (2.4, 7.4),
    std: float | Sequence[float] = (11.2, 16.8),
    cond_mean: float = 47.5,
    cond_std: float = 25.6,
) -> CINN:
    """Build the flow of color given lightness: conv blocks at three resolutions, then dense ones.

        x -> Standardize -> [conv block] * 2                            given level0
          -> Haar -> [conv block, permutation] * 4 -> FactorOut(2)      given level1
          -> Haar -> [conv block, permutation] * 4 -> FactorOut(4)      given level2
          -> Flatten -> [dense block, permutation] * 4 -> z             given vector

    Blocks are Glow couplings; conv blocks between permutations alternate between 1x1 and 3x3
    kernels, 1x1 first. Block k of a section is followed by a permutation with seed k. The condition
    is `tfp_cinn.networks.feature_pyramid`, or another backbone with features at the same
    resolutions.

    The defaults are the flow that the paper's minimal example trains on LSUN bedrooms, where x is
    the chroma ab of 64 x 64 pixels and c their lightness L, both in Lab units: 9,555,080 weights,
    and 1,455,680 in the conditioner (colorization_minimal_example of the reference code; with its
    weights, this is the same function, up to the order of z within a scale).

    Args:
        data: the data set, for the shapes of x and c; H and W of x must be divisible by 4.
        blocks: number of blocks at each of the three resolutions, and of dense ones.
        widths: width of the hidden layer of the subnets in each of these sections.
        clamps: bound of the log-scale in each, nats.
        keep: number of channels kept at the end of the second and of the third section.
        conditioner: see `tfp_cinn.architectures`; with "none", the vector is the gray image at a
            quarter of the lowest resolution.
        backbone: "pyramid", or the name of a network of `keras.applications`.
        levels: for the pyramid; see `tfp_cinn.networks.feature_pyramid`.
        vector: likewise.
        taps: for other backbones, the names of three layers, at the full resolution of x, a half
            and a quarter; None for the last layer of each. The vector is the mean of the last
            layer.
        clamp_type, permutation, init_std, zero_last, subnet_dtype: see `tfp_cinn.architectures`.
        enlarge, weights, pretrained: likewise.
        weight_prior, mean, std, cond_mean, cond_std: likewise.

    Raises:
        UsageError: if a field is out of range, or the conditioner's features don't have the
            resolutions that the flow needs.
    """
    (height, width, channels), cond_shape = image_shapes(data, divisor=4)
    for field, value, length in (
        ("blocks", blocks, 4), ("widths", widths, 4), ("clamps", clamps, 4), ("keep", keep, 2),
        ("taps", _LEVELS if taps is None else taps, 3),
    ):  # fmt: skip
        if len(value) != length:
            raise UsageError(f"{field}: expected {length} values, got {tuple(value)}")
    resolutions = {name: (height >> k, width >> k) for k, name in enumerate(_LEVELS)}

    def features():
        if backbone == "pyramid":
            return feature_pyramid(cond_shape, levels, vector, cond_mean, cond_std)
        tapped = resolutions if taps is None else dict(zip(_LEVELS, taps, strict=True))
        return application_features(backbone, cond_shape, tapped, "vector", enlarge, weights)

    def gray():
        lowest = resolutions[_LEVELS[-1]]
        side = tuple(n // 4 if n % 4 == 0 else n for n in lowest)
        return gray_pyramid(cond_shape, resolutions, side, cond_mean, cond_std)

    network = make_conditioner(
        conditioner, features, gray, {**resolutions, "vector": ()}, pretrained
    )

    couplings = Couplings(clamp_type, init_std, zero_last, subnet_dtype)

    def section(k, condition, permuted=True):
        members = []
        for n in range(blocks[k]):
            if condition == "vector":
                coupling = couplings.of_vectors([widths[k]], clamps[k])
            else:
                size = 1 if permuted and n % 2 == 0 else 3
                coupling = couplings.of_maps(ConvNet, [widths[k]], clamps[k], kernel_size=size)
            members.append(Select(condition, coupling))
            if permuted:
                members.append(permute(permutation, seed=n))
        return members

    dense = [Flatten(channels_first=True), *section(3, "vector")]
    quarter = [HaarDownsampling(0.5), *section(2, "level2"), FactorOut(keep[1], Chain(dense))]
    half = [HaarDownsampling(0.5), *section(1, "level1"), FactorOut(keep[0], Chain(quarter))]
    return CINN(
        Chain([Standardize(mean, std), *section(0, "level0", permuted=False), *half]),
        (height, width, channels),
        conditioner=network,
        cond_shape=cond_shape,
        weight_prior=weight_prior,
        name="cinn",
    )
