"""Simple likelihood, complex posterior: four points of a normal, as a set, and its parameters.

    tfp-cinn train --config=examples/slcp.py --workdir=runs/slcp
    tfp-cinn evaluate --module=examples/slcp.py --workdir=runs/slcp

x is the mean and what the covariance is made of: its diagonal of fourth powers hides the signs of
x2 and x3, so that there are four modes.

Source: Papamakarios, Sterratt and Murray, "Sequential neural likelihood", arXiv 1805.07226, A.1,
with the prior of the benchmark sbibm (arXiv 2101.04653, T.3).
"""

import numpy as np

from tfp_cinn import tasks
from tfp_cinn.configs import arrays

BOUNDS = (-3.0, 3.0)


def observe(x, seed):
    """Return four points `[N, 4, 2]`; x2^2, x3^2 are their deviations, tanh(x4) the correlation."""
    rng = np.random.default_rng(seed)
    std0, std1, correlation = x[:, 2] ** 2, x[:, 3] ** 2, np.tanh(x[:, 4])
    noise = rng.normal(size=(4, 2, len(x)))
    other = correlation * noise[:, 0] + np.sqrt(1 - correlation**2) * noise[:, 1]
    points = np.stack([x[:, 0] + std0 * noise[:, 0], x[:, 1] + std1 * other], -1)
    # The mask makes them a set.
    return {"points": np.swapaxes(points, 0, 1), "points_mask": np.ones((len(x), 4))}


@tasks.register("slcp")
class SLCP(tasks.Arrays):
    """x is uniform."""

    observe = staticmethod(observe)

    @staticmethod
    def simulate(num, seed):
        """Return new pairs."""
        rng = np.random.default_rng(seed)
        x = rng.uniform(*BOUNDS, (num, 5))
        return x, observe(x, rng)


def get_config():
    """Return the config."""
    config = arrays.get_config()
    config.data.task, config.data.bounds = "slcp", BOUNDS
    return config
