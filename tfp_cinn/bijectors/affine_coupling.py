"""RealNVP's coupling."""

from __future__ import annotations

from typing import Any

import keras

from tfp_cinn.bijectors.coupling import Coupling, Subnet
from tfp_cinn.bijectors.elementwise import Affine

__all__ = ["AffineCoupling"]


@keras.saving.register_keras_serializable("tfp_cinn")
class AffineCoupling(Coupling):
    r"""One-sided affine coupling of RealNVP, with a condition.

    Encoding, with x = [x_1 | x_2] and [s | t] = subnet([x_1, c]):

        z_1 = x_1,    z_2 = x_2 * exp(a(s)) + t,    log|det dz/dx| = sum a(s)

    Decoding is its exact inverse. a is a soft clamp to (-clamp, clamp).

    Source: Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", arXiv 1605.08803,
    eq. 7; the condition as in arXiv 1907.02392, fig. 2.

    Args:
        subnet: makes a subnet from its number of output channels.
        clamp: bound of the log-scale, nats.
        clamp_type: "arctan" (the paper's), "arctan_unscaled" (that of FrEIA since then), "tanh" or
            "sigmoid".
        event_ndims: 1 for vectors `[C]`, 3 for feature maps `[H, W, C]`.
        name: name of the bijector.
    """

    _ORDER = (1,)

    def __init__(
        self,
        subnet: Subnet,
        clamp: float = 2.0,
        clamp_type: str = "arctan",
        event_ndims: int = 1,
        name: str | None = None,
    ):
        super().__init__(subnet, Affine(clamp, clamp_type), self._ORDER, event_ndims, name)
        self._clamp, self._clamp_type = float(clamp), clamp_type

    @property
    def clamp(self) -> float:
        """Bound of the log-scale, nats."""
        return self._clamp

    @property
    def clamp_type(self) -> str:
        """Name of the soft clamp."""
        return self._clamp_type

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"clamp": self._clamp, "clamp_type": self._clamp_type}
