"""Permutations of the channels by name."""

from __future__ import annotations

from tfp_cinn.bijectors import ConditionalBijector, RandomPermutation, SoftPermutation
from tfp_cinn.errors import UsageError

__all__ = ["permute"]

_PERMUTATIONS = {"random": RandomPermutation, "soft": SoftPermutation}


def permute(permutation: str, seed: int) -> ConditionalBijector:
    """Make a "random" (hard) permutation, or a "soft" one (a rotation).

    Raises:
        UsageError: if it is neither.
    """
    if permutation not in _PERMUTATIONS:
        raise UsageError(
            f"permutation: expected one of {', '.join(_PERMUTATIONS)}, got {permutation!r}"
        )
    return _PERMUTATIONS[permutation](seed=seed)
