"""Positive data, evenly spaced far from zero."""

from __future__ import annotations

from typing import Any

import keras

from tfp_cinn.bijectors.bounded import Bounded

__all__ = ["Softplus"]


@keras.saving.register_keras_serializable("tfp_cinn")
class Softplus(Bounded):
    r"""Positive data as the softplus of latents: x = log(1 + e^z), each entry for itself.

        encoding: z = x + log(1 - e^-x),    log|det dz/dx| = -sum log(1 - e^-x)

    z is log x next to zero and x far away from it. It is `Bounded(low=0)`.

    Args:
        name: name of the bijector.

    Raises:
        UsageError: in eager mode, if a value isn't positive; in a graph its row is NaN.
    """

    def __init__(self, name: str | None = None):
        super().__init__(low=0.0, name=name)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"name": self.name}
