"""The names of a network's tensors in the two generations of FrEIA."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from tfp_cinn.errors import UsageError

__all__ = ["NAMES", "Convention", "conventions"]

NAMES = ("paper", "pypi")
"""FrEIA as used by the published code (until February 2021), and as on PyPI since."""


@dataclasses.dataclass(frozen=True)
class Convention:
    """The names of the parts of a flow in a state dict.

    Attributes:
        subnets: names of a two-sided coupling's subnets, by the half they change.
        one_sided: name of a one-sided coupling's subnet; None if it has two.
        permutations: whether permutations are stored.
        unscaled_clamp: whether the soft clamp of a Glow coupling was bound * 0.636 * atan(s).
        first: number of the first node after the input.
        leaving: number of nodes before the last block of a section whose latents leave early: the
            published ImageNet code inserts two there, the others append theirs.
        last: number of nodes before the last one.
        classes: whether the layers of a subnet are named as in the published code's classes,
            `fc1` or `conv1`, instead of numbered as in a `Sequential`.
    """

    subnets: tuple[str, str]
    one_sided: str | None
    permutations: bool
    unscaled_clamp: bool
    first: int
    leaving: int = 0
    last: int = 0
    classes: bool = False


_PAPER = Convention(
    subnets=("s2", "s1"), one_sided=None, permutations=False, unscaled_clamp=False, first=1
)
_PYPI = Convention(
    subnets=("subnet2", "subnet1"),
    one_sided="subnet",
    permutations=True,
    unscaled_clamp=True,
    first=0,
)


def conventions(names: str, splits: int, classes: bool, inserted: bool) -> Iterator[Convention]:
    """Return all conventions of a generation, the published code's first.

    The FrEIA of the paper numbers the nodes in the order of their list. Later ones sort them, and
    the order of a Python set decides the last one's number among the latents that left early.

    Args:
        names: one of `NAMES`.
        splits: number of times latents leave early.
        classes: whether the published network's subnets are classes.
        inserted: whether it has nodes inserted where latents leave early.

    Raises:
        UsageError: if `names` is unknown.
    """
    if names not in NAMES:
        raise UsageError(f"names: expected one of {', '.join(NAMES)}, got {names!r}")
    for named in (classes, not classes):
        if names == "paper":
            for leaving in (2, 0) if inserted else (0, 2):
                yield dataclasses.replace(_PAPER, leaving=leaving, classes=named)
        else:
            for last in range(splits + 1):
                yield dataclasses.replace(_PYPI, last=last, classes=named)
