"""What the published flows have in common: couplings, and a conditioner of images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import keras

from tfp_cinn.bijectors import ConditionalBijector, GlowCoupling, RandomPermutation, SoftPermutation
from tfp_cinn.bijectors.shapes import Shape
from tfp_cinn.errors import UsageError
from tfp_cinn.networks import MLP, load_weights

__all__ = ["CONDITIONERS", "Couplings", "ImagePairs", "image_shapes", "make_conditioner", "permute"]

CONDITIONERS = ("joint", "frozen", "none")
"""Trained with the flow; not trained; the gray image itself. The last two are ablations."""


class ImagePairs(Protocol):
    """A data set of pairs of images (x, c), as an architecture sees it."""

    image_shape: Shape
    """Shape (H, W, C) of one x."""

    cond_shape: Shape
    """Shape (H, W, C) of one c."""


def image_shapes(data: ImagePairs, divisor: int = 1) -> tuple[Shape, Shape]:
    """Return the shapes of x and c.

    Args:
        data: the data set.
        divisor: number that must divide H and W of x.

    Raises:
        UsageError: if a shape isn't an image's, or x isn't divisible.
    """
    shapes = [tuple(getattr(data, name, None) or ()) for name in ("image_shape", "cond_shape")]
    if any(len(shape) != 3 for shape in shapes):
        raise UsageError(
            "data: expected pairs of images (x, c) with image_shape and cond_shape of three "
            f"dimensions, got {shapes[0] or 'none'} and {shapes[1] or 'none'}"
        )
    if any(n % divisor for n in shapes[0][:2]):
        raise UsageError(
            f"data: expected images x with H and W divisible by {divisor} for this flow, got "
            f"{shapes[0]}; crop them"
        )
    return shapes[0], shapes[1]


_PERMUTATIONS = {"random": RandomPermutation, "soft": SoftPermutation}


def permute(permutation: str, seed: int) -> ConditionalBijector:
    """Make a "random" (hard) permutation, or a "soft" one (a rotation)."""
    _check_choice("permutation", permutation, _PERMUTATIONS)
    return _PERMUTATIONS[permutation](seed=seed)


@dataclasses.dataclass
class Couplings:
    """Makes the Glow couplings of a flow, with what their subnets and clamps have in common.

    Args:
        clamp_type: see `tfp_cinn.bijectors.GlowCoupling`.
        init_std: see `tfp_cinn.networks.MLP`.
        zero_last: likewise.
        dtype: likewise.
    """

    clamp_type: str
    init_std: float | None
    zero_last: bool
    dtype: str | None

    def of_vectors(self, hidden: Sequence[int], clamp: float, **options: Any) -> GlowCoupling:
        """Make a coupling with an `MLP`; other arguments are of that."""
        return GlowCoupling(self._subnet(MLP, hidden, options), clamp, self.clamp_type)

    def of_maps(
        self, maker: Any, hidden: Sequence[int], clamp: float, **options: Any
    ) -> GlowCoupling:
        """Make a coupling with a `ConvNet` or `DenseConvNet`; other arguments are of that."""
        subnet = self._subnet(maker, hidden, options)
        return GlowCoupling(subnet, clamp, self.clamp_type, event_ndims=3)

    def _subnet(self, maker, hidden, options):
        start = {"init_std": self.init_std, "zero_last": self.zero_last, "dtype": self.dtype}
        return maker(hidden, **start, **options)


def _check_choice(field, value, choices):
    if value not in choices:
        raise UsageError(f"{field}: expected one of {', '.join(choices)}, got {value!r}")


def make_conditioner(
    conditioner: str,
    trained: Callable[[], keras.Model],
    gray: Callable[[], keras.Model],
    needs: Mapping[str, Shape] | Shape,
    pretrained: str | None,
) -> keras.Model:
    """Make the conditioner of a flow.

    Args:
        conditioner: one of `CONDITIONERS`.
        trained: makes the network for "joint" and "frozen".
        gray: makes its replacement for "none".
        needs: resolution (h, w) of each feature that the flow needs, () for a vector; a single
            resolution instead of a dict if the network returns one tensor.
        pretrained: file with weights for the trained network.

    Raises:
        UsageError: if `conditioner` is unknown, the file doesn't hold such weights, or the
            network's features don't have the resolutions needed (the message lists both).
    """
    _check_choice("conditioner", conditioner, CONDITIONERS)
    if conditioner == "none":
        if pretrained is not None:
            raise UsageError(
                'pretrained: expected none with conditioner="none", which has no weights'
            )
        return gray()
    network = trained()
    has = keras.tree.map_structure(lambda f: tuple(f.shape[1:-1]), network.output)
    if not _meets(has, needs):
        raise UsageError(
            f"conditioner: the features of {network.name} are {_text(has)}; the flow needs "
            f"{_text(needs)}; choose other levels or taps, or images of another size"
        )
    if pretrained is not None:
        load_weights(network, pretrained)
    # Freezing also stops batch normalization from updating its averages.
    network.trainable = conditioner == "joint"
    return network


def _meets(has: Any, needs: Any) -> bool:
    if isinstance(needs, Mapping) and isinstance(has, Mapping):
        return all(name in has and has[name] == shape for name, shape in needs.items())
    return has == needs


def _text(resolutions: Mapping[str, Shape] | Shape) -> str:
    if isinstance(resolutions, Mapping):
        return ", ".join(f"{name} {_text(size)}".strip() for name, size in resolutions.items())
    return "x".join(map(str, resolutions))
