"""The problems of inference.py, with ten observations and draws of their posteriors each."""

import dataclasses
import io
import math
import pathlib
import sys
import zipfile
from collections.abc import Callable

import numpy as np
import pandas as pd

sys.path.append(str(pathlib.Path(__file__).parents[1] / "examples"))

import kinematics  # noqa: E402
import slcp  # noqa: E402
import two_moons  # noqa: E402


def gaussian_linear_uniform(num, seed):
    """Return x uniform in [-1, 1]^10 and c = x + noise of variance 0.1 (sbibm, T.2)."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (num, 10))
    return x, x + math.sqrt(0.1) * rng.normal(size=x.shape)


def from_sbibm(name, wheel):
    """Return sbibm's ten observations and 10,000 draws of each one's posterior."""
    observations, posteriors = [], []
    with zipfile.ZipFile(wheel) as archive:
        for k in range(1, 11):
            folder = f"sbibm/tasks/{name}/files/num_observation_{k}"
            observations.append(
                np.loadtxt(
                    archive.open(f"{folder}/observation.csv"), None, delimiter=",", skiprows=1
                )
            )
            file = io.BytesIO(archive.read(f"{folder}/reference_posterior_samples.csv.bz2"))
            posteriors.append(pd.read_csv(file, compression="bz2").to_numpy())
    return np.array(observations), np.array(posteriors)


def reachable(num=10_000, proposals=400_000):
    """Return ten points, and draws of the exact posterior of an arm that reaches each.

    Height and first angle are drawn from the prior. Two elbows are left for the other two segments,
    with weights p(x2) p(x3) / |d y / d(x2, x3)|.
    """
    rng = np.random.default_rng(2021)
    lengths, std = kinematics.LENGTHS, kinematics.PRIOR_STD
    points = kinematics.observe(std * rng.normal(size=(10, 4)))
    posteriors = []
    for point in points:
        x = std[:2] * rng.normal(size=(proposals, 2))
        joint = np.stack([x[:, 0] + lengths[0] * np.sin(x[:, 1]), lengths[0] * np.cos(x[:, 1])], 1)
        across, along = (point - joint).T
        distance = np.hypot(across, along)
        cosine = (distance**2 - lengths[1] ** 2 - lengths[2] ** 2) / (2 * lengths[1] * lengths[2])
        can = np.abs(cosine) < 1
        x, across, along, bend = x[can], across[can], along[can], np.arccos(cosine[can])
        arms, weights = [], []
        for side in (bend, -bend):
            # Direction of the second segment from the vertical; the third is bent by `side`.
            reach = lengths[1] + lengths[2] * np.cos(side)
            second = np.arctan2(across, along) - np.arctan2(lengths[2] * np.sin(side), reach)
            x2 = second + x[:, 1]
            x3 = second + side + x2 + x[:, 1]
            arms.append(np.stack([*x.T, x2, x3], 1))
            prior = np.exp(-0.5 * ((x2 / std[2]) ** 2 + (x3 / std[3]) ** 2))
            weights.append(prior / np.maximum(np.abs(np.sin(side)), 1e-9))
        arms, weights = np.concatenate(arms), np.concatenate(weights)
        posteriors.append(arms[rng.choice(len(arms), num, p=weights / weights.sum())])
    return points, np.array(posteriors)


@dataclasses.dataclass
class Problem:
    """What is to be inferred.

    Attributes:
        simulate: returns pairs.
        bounds: low and high of x; None without.
        reference: returns ten observations and draws of their posteriors, given sbibm's wheel.
        observe: c given x, where it has no noise.
    """

    simulate: Callable
    bounds: tuple[float, float] | None
    reference: Callable
    observe: Callable | None = None


def _of_sbibm(name, simulate, bounds):
    return Problem(simulate, bounds, lambda wheel: from_sbibm(name, wheel))


PROBLEMS = {
    "two_moons": _of_sbibm("two_moons", two_moons.TwoMoons.simulate, two_moons.BOUNDS),
    "slcp": _of_sbibm("slcp", slcp.SLCP.simulate, slcp.BOUNDS),
    "gaussian_linear_uniform": _of_sbibm(
        "gaussian_linear_uniform", gaussian_linear_uniform, (-1.0, 1.0)
    ),
    "kinematics": Problem(
        kinematics.Kinematics.simulate, None, lambda wheel: reachable(), kinematics.observe
    ),
}
