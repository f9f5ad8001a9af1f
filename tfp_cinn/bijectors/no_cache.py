"""Instead of TFP's bijector cache."""

from __future__ import annotations

from typing import Any

__all__ = ["NoCache"]


class NoCache:
    """Stands in for TFP's bijector cache, which hands out stale values after a weight update.

    TFP keys its cache by tensor identity alone, so that in eager mode `inverse` of the same tensor
    would not see that the weights have changed.
    """

    def __init__(self, bijector: Any = None):
        self._bijector = bijector

    def __get__(self, bijector, bijector_class=None):
        return type(self)(bijector)

    def forward(self, x, **kwargs):
        """Computes x = f(z)."""
        return self._bijector._forward(x, **kwargs)

    def inverse(self, y, **kwargs):
        """Computes z."""
        return self._bijector._inverse(y, **kwargs)

    def forward_attributes(self, x, **kwargs):
        """Remembers nothing."""
        return {}

    inverse_attributes = forward_attributes

    def clear(self):
        """Has nothing to clear."""
