"""The learning rate of each epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["learning_rate"]

_WARM_UP = 0.02


def learning_rate(section: Mapping[str, Any], epoch: int) -> float:
    r"""Return the learning rate of an epoch, counted from 0.

        learning_rate * milestone_decay^(milestones passed) * final_decay^(epoch / epochs)

    and 0.02 `learning_rate` in the first `warm_up_epochs`, as in the reference code of the paper's
    MNIST experiment.

    Args:
        section: the config's `train` section.
        epoch: the epoch.
    """
    if epoch < section["warm_up_epochs"]:
        return section["learning_rate"] * _WARM_UP
    passed = sum(epoch >= milestone for milestone in section["milestones"])
    done = (epoch - section["warm_up_epochs"]) / section["epochs"]
    decay = section["milestone_decay"] ** passed * section["final_decay"] ** done
    return section["learning_rate"] * decay
