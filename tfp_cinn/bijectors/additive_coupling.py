"""NICE's coupling."""

from __future__ import annotations

import keras

from tfp_cinn.bijectors.coupling import Coupling, Subnet
from tfp_cinn.bijectors.elementwise import Translation

__all__ = ["AdditiveCoupling"]


@keras.saving.register_keras_serializable("tfp_cinn")
class AdditiveCoupling(Coupling):
    r"""One-sided additive coupling of NICE, with a condition; volume preserving.

    Encoding, with x = [x_1 | x_2] and t = subnet([x_1, c]):

        z_1 = x_1,    z_2 = x_2 + t,    log|det dz/dx| = 0

    Source: Dinh, Krueger and Bengio, "NICE: Non-linear Independent Components Estimation",
    arXiv 1410.8516, sec. 3.2.

    Args:
        subnet: makes a subnet from its number of output channels.
        event_ndims: 1 for vectors `[C]`, 3 for feature maps `[H, W, C]`.
        name: name of the bijector.
    """

    def __init__(self, subnet: Subnet, event_ndims: int = 1, name: str | None = None):
        super().__init__(subnet, Translation(), (1,), event_ndims, name)
