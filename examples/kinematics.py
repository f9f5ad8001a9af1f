"""Inverse kinematics: how a robot's arm of three segments can reach a point.

    tfp-cinn train --config=examples/kinematics.py --workdir=runs/kinematics
    tfp-cinn sample --module=examples/kinematics.py --workdir=runs/kinematics --cond=0,1.5 \
        --num_samples=1000 --output=arms.npz

Source: Kruse, Ardizzone, Rother and Köthe, "Benchmarking Invertible Architectures on Inverse
Problems", arXiv 2101.10763, sec. 4.1.
"""

import numpy as np

from tfp_cinn import tasks
from tfp_cinn.configs import arrays

LENGTHS = np.array([0.5, 0.5, 1.0])
PRIOR_STD = np.array([0.25, 0.5, 0.5, 0.5])


def observe(x, seed=None):
    """Return where the arm ends; x is the height of its base and three angles."""
    angles = np.stack([x[:, 1], x[:, 2] - x[:, 1], x[:, 3] - x[:, 2] - x[:, 1]], 1)
    return np.stack([x[:, 0] + np.sin(angles) @ LENGTHS, np.cos(angles) @ LENGTHS], 1)


@tasks.register("kinematics")
class Kinematics(tasks.Arrays):
    """x is normal."""

    observe = staticmethod(observe)

    @staticmethod
    def simulate(num, seed):
        """Return new pairs."""
        x = PRIOR_STD * np.random.default_rng(seed).normal(size=(num, 4))
        return x, observe(x)


def get_config():
    """Return the config."""
    config = arrays.get_config()
    config.data.task = "kinematics"
    return config
