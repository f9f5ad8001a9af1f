"""Posteriors of ours beside those of BayesFlow, zuko and sbi, from the same pairs and CPU seconds.

Each run, of a problem, a side and a seed, is a process of one thread and a JSON file in a folder:
what is there isn't run again. Prints tables, and the results as JSON in the last line.

    pip install ".[inference]"
    pip download --no-deps sbibm==1.1.0       # reference posteriors; it needs an older sbi to run
    python benchmarks/inference.py --sbibm=sbibm-1.1.0-py2.py3-none-any.whl --output=runs/inference

Shorter: --problems=slcp --sides=ours,zuko_nsf --seeds=1 --seconds=20 --draws=1000.
"""

import dataclasses
import io
import json
import math
import os
import pathlib
import subprocess
import sys
import zipfile
from collections.abc import Callable

import numpy as np
import pandas as pd
from absl import app, flags
from inference_sides import SIDES

_HERE = pathlib.Path(__file__).parent
sys.path.append(str(_HERE.parent / "examples"))

import kinematics  # noqa: E402
import slcp  # noqa: E402
import two_moons  # noqa: E402

_HELD_OUT = 2000


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

_PROBLEMS = flags.DEFINE_list("problems", list(PROBLEMS), "Which.")
_SIDES = flags.DEFINE_list("sides", list(SIDES), "Which.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "How many.")
_SECONDS = flags.DEFINE_float("seconds", 60.0, "CPU seconds of training after the first epoch.")
_PAIRS = flags.DEFINE_integer("pairs", 10_000, "Pairs to train on.")
_DRAWS = flags.DEFINE_integer("draws", 10_000, "Draws that C2ST compares, at most 10,000.")
_SBIBM = flags.DEFINE_string("sbibm", None, "The wheel of sbibm 1.1.", required=True)
_OUTPUT = flags.DEFINE_string("output", "runs/inference", "Folder of the results.")
_PYTHON = flags.DEFINE_string("rivals_python", sys.executable, "Python that has the rivals.")


def c2st(draws, reference, seed=1):
    """Return the accuracy of a classifier between draws and reference: 0.5 if they are alike.

    As sbibm's `c2st`: five folds of scikit-learn's MLP of two layers of ten units a dimension.
    """
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    mean, std = draws.mean(axis=0), draws.std(axis=0)
    both = (np.concatenate([draws, reference]) - mean) / std
    target = np.repeat([0, 1], [len(draws), len(reference)])
    network = MLPClassifier((10 * draws.shape[1],) * 2, max_iter=10_000, random_state=seed)
    folds = KFold(5, shuffle=True, random_state=seed)
    return float(cross_val_score(network, both, target, cv=folds).mean())


def calibration_error(draws, x):
    """Return the mean of |coverage - nominal| over central intervals of 50, 80, 95 % and entries.

    Args:
        draws: `[N, K, D]`.
        x: the truth, `[N, D]`.
    """
    num = draws.shape[1] + 1
    rank = (draws < x[:, np.newaxis]).sum(axis=1)
    errors = []
    for level in (0.5, 0.8, 0.95):
        left_out = round((1 - level) / 2 * num)
        inside = (rank >= left_out) & (rank < num - left_out)
        errors.append(np.abs(inside.mean(axis=0) - (num - 2 * left_out) / num))
    return float(np.mean(errors))


def score(problem, answers, x, observations, reference):
    """Return the figures of a run's answers by name."""
    log_prob, posterior = answers["log_prob"], answers["posterior"]
    figures = {
        "nats": float(-log_prob.mean()),
        "nats_median": float(-np.median(log_prob)),
        "nats_worst": float(-log_prob.min()),
        "c2st": float(
            np.mean(
                [
                    c2st(one[: _DRAWS.value], other[: _DRAWS.value])
                    for one, other in zip(posterior, reference, strict=True)
                ]
            )
        ),
        "calibration_error": calibration_error(answers["draws"], x[:1000]),
    }
    if problem.bounds is not None:
        low, high = problem.bounds
        outside = ((posterior < low) | (posterior > high)).any(axis=-1)
        figures["outside"] = float(outside.mean())
    if problem.observe is not None:
        missed = [
            np.linalg.norm(problem.observe(each) - point, axis=1)
            for each, point in zip(posterior, observations, strict=True)
        ]
        figures["resimulation_error"] = float(np.mean(missed))
    for name in ("draws_of_one", "draws_of_1000", "start_up", "train", "epochs"):
        figures[name] = float(answers[name])
    return figures


def run(name, side, seed, folder):
    """Train and score a side, and write its figures."""
    problem, wheel = PROBLEMS[name], _SBIBM.value
    pairs, questions, answers = (
        folder / f"{kind}-{side}-{seed}.npz" for kind in ("pairs", "questions", "answers")
    )
    x, cond = problem.simulate(_PAIRS.value, seed)
    parts = {f"cond_{k}": v for k, v in cond.items()} if isinstance(cond, dict) else {"cond": cond}
    np.savez(pairs, x=x, **parts)
    x, cond = problem.simulate(_HELD_OUT, 1000)
    cond = cond["points"] if isinstance(cond, dict) else cond
    observations, reference = problem.reference(wheel)
    observations = observations.reshape(-1, *cond.shape[1:])
    given = {"x": x, "cond": cond, "observations": observations, "bounds": problem.bounds}
    np.savez(questions, pairs=str(pairs), **given)
    python = sys.executable if side == "ours" else _PYTHON.value
    threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    environment = os.environ | dict.fromkeys(threads, "1")
    environment |= {"KERAS_BACKEND": "tensorflow" if side == "ours" else "jax"}
    environment |= {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    arguments = side, questions, _SECONDS.value, seed, answers
    command = [python, _HERE / "inference_sides.py", *arguments]
    subprocess.run([*map(str, command)], env=environment, check=True, stdout=sys.stderr)
    with np.load(answers) as given:
        figures = score(problem, given, x, observations, reference)
    setting = {"seconds": _SECONDS.value, "pairs": _PAIRS.value, "draws": _DRAWS.value}
    result = {"problem": name, "side": side, "seed": seed, **setting, **figures}
    (folder / f"{side}-{seed}.json").write_text(json.dumps(result))
    for file in (pairs, questions):
        file.unlink()


def table(results):
    """Return the figures of a problem's sides as Markdown, mean and spread over seeds."""
    figures = results.drop(columns=["problem", "seed", "seconds", "pairs", "draws"])
    grouped = figures.dropna(axis=1).groupby("side")
    mean, spread = grouped.mean(), grouped.std()
    cells = mean.map("{:.3g}".format)
    if results["seed"].nunique() > 1:
        cells += " ± " + spread.map("{:.1g}".format)
    rows = [["side", *cells.columns], ["---"] * (1 + len(cells.columns))]
    rows += [[side, *row] for side, row in zip(cells.index, cells.to_numpy(), strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(_):
    """Run what is missing, and print all."""
    results = []
    for name in _PROBLEMS.value:
        folder = pathlib.Path(_OUTPUT.value) / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed in range(_SEEDS.value):
            for side in _SIDES.value:
                if not (folder / f"{side}-{seed}.json").exists():
                    run(name, side, seed, folder)
        found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
        print(f"\n{name}\n\n{table(pd.DataFrame(found))}", flush=True)
        results += found
    print(json.dumps(results))


if __name__ == "__main__":
    app.run(main)
