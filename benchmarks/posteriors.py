"""How near the posteriors of configs/arrays come to the exact ones, and at which cost.

Trains on 20,000 pairs as `train.py --config=configs/arrays.py` does, and judges the model on new
pairs: the held-out likelihood, how often central intervals hold the truth, and for the linear
Gaussian problems, whose posteriors are known, the errors of their means and standard deviations.

    python benchmarks/posteriors.py --problem=gaussian10 --seed=0 --set=model.dropout=0.1
"""

import ast
import json
import math
import pathlib
import tempfile
import time

import numpy as np
from absl import app, flags

_PAIRS = 20_000
_CASES, _DRAWS = 1000, 1000
_COVERED, _FEW = 10_000, 199


class Gaussian:
    """x ~ N(10, 9), c = A (x - 10) / 3 + noise of standard deviation 0.5, in units of 0.01."""

    def __init__(self, size):
        self._size = size
        rng = np.random.default_rng(99)
        self._matrix = np.eye(size) + rng.normal(size=(size, size)) / math.sqrt(size)
        self._covariance = np.linalg.inv(np.eye(size) + 4 * self._matrix.T @ self._matrix)

    def draw(self, num, rng):
        z = rng.normal(size=(num, self._size))
        cond = z @ self._matrix.T + 0.5 * rng.normal(size=z.shape)
        return 10 + 3 * z, 100 * cond

    def posterior(self, cond):
        """Return the exact means and standard deviations."""
        means = 10 + 12 * (cond / 100) @ self._matrix @ self._covariance
        return means, 3 * np.sqrt(np.diag(self._covariance))


class TwoMoons:
    """x uniform in [-1, 1]^2, c a crescent around (-|x0 + x1|, x1 - x0) / sqrt 2."""

    def draw(self, num, rng):
        x = rng.uniform(-1, 1, (num, 2))
        angle, radius = rng.uniform(-np.pi / 2, np.pi / 2, num), rng.normal(0.1, 0.01, num)
        middle = np.stack([-np.abs(x.sum(1)), x[:, 1] - x[:, 0]], axis=1) / math.sqrt(2)
        crescent = radius[:, np.newaxis] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return x, middle + crescent + [0.25, 0.0]


PROBLEMS = {f"gaussian{n}": Gaussian(n) for n in (1, 3, 10)} | {"two_moons": TwoMoons()}

_PROBLEM = flags.DEFINE_enum("problem", "gaussian10", list(PROBLEMS), "What to learn.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the pairs and of the training.")
_SET = flags.DEFINE_multi_string("set", [], "A field of the config, as model.dropout=0.1.")


def measure(problem, seed, fields):
    """Train, and return the model's size, cost and errors by name."""
    from tfp_cinn.configs.arrays import get_config
    from tfp_cinn.metrics.posterior import LEVELS, interval_coverage, ranks
    from tfp_cinn.training import train

    x, cond = problem.draw(_PAIRS, np.random.default_rng(seed))
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/pairs.npz", x=x, cond=cond)
        config = get_config()
        config.data.train = f"{folder}/pairs.npz"
        config.train.seed = seed
        config.update_from_flattened_dict(fields)
        begin = time.process_time()
        model = train(config, pathlib.Path(folder) / "run")
        seconds = time.process_time() - begin
    rng = np.random.default_rng(1000)
    x, cond = problem.draw(20_000, rng)
    log_prob = model.distribution.log_prob(np.float32(x), np.float32(cond)).numpy()
    figures = {
        "weights": model.count_params(),
        "cpu_seconds": seconds,
        "nats": float(-log_prob.mean()),
        "nats_error": float(log_prob.std() / math.sqrt(len(x))),
    }
    found = []
    for start in range(0, _COVERED, _CASES):
        rows = slice(start, start + _CASES)
        draws = model.distribution.sample(np.float32(cond[rows]), _FEW, seed=start)
        found.append(ranks(draws.numpy(), x[rows]))
    for level in LEVELS:
        shares = [interval_coverage(column, _FEW, level).mean for column in np.concatenate(found).T]
        figures[f"coverage_{100 * level:.0f}"] = shares
    if isinstance(problem, Gaussian):
        cond = cond[:_CASES]
        draws = model.distribution.sample(np.float32(cond), _DRAWS, seed=1).numpy()
        means, stds = problem.posterior(cond)
        shift = (draws.mean(axis=0) - means) / stds
        ratio = draws.std(axis=0) / stds - 1
        figures |= {
            "mean_error_rms": float(np.sqrt((shift**2).mean())),
            "mean_error_95": float(np.quantile(np.abs(shift), 0.95)),
            "std_error_rms": float(np.sqrt((ratio**2).mean())),
            "std_error_95": float(np.quantile(np.abs(ratio), 0.95)),
        }
    return figures


def main(_):
    """Measure one problem and print its figures as JSON."""
    fields = {}
    for text in _SET.value:
        name, _, value = text.partition("=")
        try:
            fields[name] = ast.literal_eval(value)
        except ValueError:
            fields[name] = value
    figures = measure(PROBLEMS[_PROBLEM.value], _SEED.value, fields)
    print(
        json.dumps({"problem": _PROBLEM.value, "seed": _SEED.value, "set": _SET.value, **figures})
    )


if __name__ == "__main__":
    app.run(main)
