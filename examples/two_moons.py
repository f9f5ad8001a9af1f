"""Two moons: x in [-1, 1]^2 whose posterior is two crescents.

    tfp-cinn train --config=examples/two_moons.py --workdir=runs/two_moons
    tfp-cinn evaluate --module=examples/two_moons.py --workdir=runs/two_moons
    tfp-cinn sample --module=examples/two_moons.py --workdir=runs/two_moons --cond=0,0 \
        --num_samples=2000 --output=moons.png

Source: Greenberg, Nonnenmacher and Macke, "Automatic posterior transformation for likelihood-free
inference", arXiv 1905.07488, with the numbers of the benchmark sbibm (arXiv 2101.04653, T.8).
"""

import numpy as np

from tfp_cinn import tasks
from tfp_cinn.configs import arrays

BOUNDS = (-1.0, 1.0)


def observe(x, seed):
    """Return a point of a noisy half circle around (-|x0 + x1|, x1 - x0) / sqrt 2."""
    rng = np.random.default_rng(seed)
    angle, radius = rng.uniform(-np.pi / 2, np.pi / 2, len(x)), rng.normal(0.1, 0.01, len(x))
    center = np.stack([0.25 - np.abs(x.sum(1)) / np.sqrt(2), (x[:, 1] - x[:, 0]) / np.sqrt(2)], 1)
    return center + radius[:, np.newaxis] * np.stack([np.cos(angle), np.sin(angle)], 1)


@tasks.register("two_moons")
class TwoMoons(tasks.Arrays):
    """x is uniform."""

    observe = staticmethod(observe)

    @staticmethod
    def simulate(num, seed):
        """Return new pairs."""
        rng = np.random.default_rng(seed)
        x = rng.uniform(*BOUNDS, (num, 2))
        return x, observe(x, rng)


def get_config():
    """Return the config."""
    config = arrays.get_config()
    config.data.task, config.data.bounds = "two_moons", BOUNDS
    return config
