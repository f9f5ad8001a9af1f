"""The paper's fully connected class-conditional flow."""

from __future__ import annotations

from collections.abc import Sequence

from tfp_cinn.architectures.conditioning import Couplings, permute
from tfp_cinn.bijectors import ActNorm, Chain, Flatten, Standardize
from tfp_cinn.data import LabeledImages
from tfp_cinn.errors import UsageError
from tfp_cinn.model import CINN
from tfp_cinn.networks import OneHot

__all__ = ["dense_glow"]


def dense_glow(
    data: LabeledImages,
    *,
    blocks: int = 20,
    hidden: Sequence[int] = (512,),
    clamp: float = 1.0,
    clamp_type: str = "arctan",
    permutation: str = "random",
    act_norm: bool = False,
    dropout: float = 0.0,
    init_std: float | None = None,
    zero_last: bool = True,
    subnet_dtype: str | None = None,
    weight_prior: float = 0.0,
    mean: float | None = None,
    std: float | None = None,
) -> CINN:
    """Build a flow of flattened images given their class: permutations and Glow couplings.

        x -> Standardize -> Flatten -> [permutation (-> ActNorm) -> GlowCoupling] * blocks -> z

    The condition is the one-hot class. The defaults are the paper's minimal MNIST example; as
    there, block k is permuted with seed k.

    Args:
        data: the data set, for image shape, number of classes, mean and standard deviation.
        blocks: number of coupling blocks.
        hidden: widths of the hidden layers of each subnet.
        clamp: bound of the log-scale, nats.
        act_norm: whether to normalize activations before each coupling.
        dropout: dropout rate in the subnets.
        mean: mean gray level to standardize with; the training data's if None.
        std: standard deviation likewise.
        clamp_type, permutation, init_std, zero_last, subnet_dtype: see `tfp_cinn.architectures`.
        weight_prior: likewise.

    Raises:
        UsageError: if `permutation` or `blocks` is out of range.
    """
    if blocks < 1:
        raise UsageError(f"blocks: expected at least 1, got {blocks}")
    couplings = Couplings(clamp_type, init_std, zero_last, subnet_dtype)
    members = [
        Standardize(data.mean if mean is None else mean, data.std if std is None else std),
        Flatten(),
    ]
    for k in range(blocks):
        members.append(permute(permutation, seed=k))
        if act_norm:
            members.append(ActNorm())
        members.append(couplings.of_vectors(hidden, clamp, dropout=dropout))
    return CINN(
        Chain(members),
        data.image_shape,
        conditioner=OneHot(data.num_classes),
        cond_shape=(),
        weight_prior=weight_prior,
        name="cinn",
    )
