"""An epidemic: rates of infection and recovery, given a series of tests.

    tfp-cinn train --config=examples/epidemic.py --workdir=runs/epidemic
    tfp-cinn evaluate --module=examples/epidemic.py --workdir=runs/epidemic

Every fifth day for 160 days, 1000 people of a million are tested. Prior and tests as in the
benchmark sbibm (arXiv 2101.04653, T.9), with a step of a day and more tests.
"""

import numpy as np

from tfp_cinn import tasks
from tfp_cinn.configs import arrays

DAYS, EVERY, TESTS = 160, 5, 1000


def observe(x, seed):
    """Return the shares of positive tests `[N, 32, 1]`, for rates a day x = (beta, gamma)."""
    rng = np.random.default_rng(seed)
    infected = np.full(len(x), 1e-6)
    susceptible = 1 - infected
    share = []
    for _ in range(DAYS):
        new = susceptible * -np.expm1(-x[:, 0] * infected)
        susceptible = susceptible - new
        infected = infected * np.exp(-x[:, 1]) + new
        share.append(infected)
    share = np.stack(share[EVERY - 1 :: EVERY], 1)
    return rng.binomial(TESTS, share)[..., np.newaxis] / TESTS


@tasks.register("epidemic")
class Epidemic(tasks.Arrays):
    """x is log-normal."""

    observe = staticmethod(observe)

    @staticmethod
    def simulate(num, seed):
        """Return new pairs."""
        rng = np.random.default_rng(seed)
        x = np.exp(np.log([0.4, 0.125]) + [0.5, 0.2] * rng.normal(size=(num, 2)))
        return x, observe(x, rng)


def get_config():
    """Return the config."""
    config = arrays.get_config()
    config.data.task, config.data.bounds = "epidemic", (0.0, None)
    return config
