"""Instead of TFP's bijector cache."""

from __future__ import annotations

from typing import Any

__all__ = ["NoCache"]


class NoCache:
    """Stands in for TFP's bijector cache, whose values are stale after a weight update."""

    def __init__(self, bijector: Any = None):
        self._bijector = bijector

    def __get__(self, bijector, bijector_class=None):
        return type(self)(bijector)

    def forward(self, x, **kwargs):
        """Compute x = f(z)."""
        return self._bijector._forward(x, **kwargs)

    def inverse(self, y, **kwargs):
        """Compute z."""
        return self._bijector._inverse(y, **kwargs)

    def forward_attributes(self, x, **kwargs):
        """Remember nothing."""
        return {}

    inverse_attributes = forward_attributes

    def clear(self):
        """Have nothing to clear."""
