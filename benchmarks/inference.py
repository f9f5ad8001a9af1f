"""Posteriors of ours beside those of BayesFlow, zuko and sbi, from the same pairs and CPU seconds.

Each run, of a problem, a side and a seed, is a process of one thread and a JSON file in a folder:
what is there isn't run again. Draws `posteriors.png`, prints tables, and the results as JSON in
the last line.

    pip install ".[inference]"
    pip download --no-deps sbibm==1.1.0       # reference posteriors; it needs an older sbi to run
    python benchmarks/inference.py --sbibm=sbibm-1.1.0-py2.py3-none-any.whl --output=runs/inference

Shorter: --problems=slcp --sides=ours,zuko_nsf --seeds=1 --seconds=20 --observations=2.
"""

import json
import os
import pathlib
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from absl import app, flags
from inference_problems import PROBLEMS
from inference_sides import SIDES
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier

_HERE = pathlib.Path(__file__).resolve().parent
_HELD_OUT = 2000


_PROBLEMS = flags.DEFINE_list("problems", list(PROBLEMS), "Which.")
_SIDES = flags.DEFINE_list("sides", list(SIDES), "Which.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "How many.")
_SECONDS = flags.DEFINE_float("seconds", 60.0, "CPU seconds of training after the first epoch.")
_PAIRS = flags.DEFINE_integer("pairs", 10_000, "Pairs to train on.")
_OBSERVATIONS = flags.DEFINE_integer("observations", 10, "That C2ST judges, which takes longest.")
_SBIBM = flags.DEFINE_string("sbibm", None, "The wheel of sbibm 1.1.", required=True)
_OUTPUT = flags.DEFINE_string("output", "runs/inference", "Folder of the results.")
_PYTHON = flags.DEFINE_string("rivals_python", sys.executable, "Python that has the rivals.")


def c2st(draws, reference, seed=1):
    """Return the accuracy of a classifier between draws and reference: 0.5 if they are alike.

    As sbibm's `c2st`: five folds of scikit-learn's MLP of two layers of ten units a dimension.
    """
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
        "c2st": float(np.mean([c2st(*pair) for pair in zip(posterior, reference, strict=True)])),
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
    observations, reference = (a[: _OBSERVATIONS.value] for a in problem.reference(wheel))
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
    # In the folder, where sbi writes logs.
    subprocess.run([*map(str, command)], env=environment, check=True, stdout=sys.stderr, cwd=folder)
    with np.load(answers) as given:
        figures = score(problem, given, x, observations, reference)
    setting = {"seconds": _SECONDS.value, "pairs": _PAIRS.value}
    setting["observations"] = _OBSERVATIONS.value
    result = {"problem": name, "side": side, "seed": seed, **setting, **figures}
    (folder / f"{side}-{seed}.json").write_text(json.dumps(result))
    for file in (pairs, questions):
        file.unlink()


def draw(folders, output, entries=((0, 1), (2, 3))):
    """Draw the first observation's posterior of each problem, the reference and each side's."""
    columns = ["reference", *_SIDES.value]
    figure, axes = plt.subplots(
        len(folders), len(columns), figsize=(2 * len(columns), 2 * len(folders)), squeeze=False
    )
    for row, folder in zip(axes, folders, strict=True):
        _, reference = PROBLEMS[folder.name].reference(_SBIBM.value)
        pair = list(entries[reference.shape[-1] > 2])
        for axis, side in zip(row, columns, strict=True):
            draws = reference[0]
            if side != "reference":
                with np.load(folder / f"answers-{side}-0.npz") as answers:
                    draws = answers["posterior"][0]
            axis.scatter(*draws[:3000, pair].T, s=0.3, alpha=0.3)
            low, high = np.percentile(reference[0][:, pair], [0.5, 99.5], axis=0)
            axis.set(xlim=_wider(low[0], high[0]), ylim=_wider(low[1], high[1]))
            axis.set(xticks=[], yticks=[], title=side if folder is folders[0] else None)
        row[0].set_ylabel(f"{folder.name}\nx{pair[1]}")
        row[0].set_xlabel(f"x{pair[0]}")
    figure.tight_layout()
    figure.savefig(output, dpi=110)


def _wider(low, high):
    return low - 0.2 * (high - low), high + 0.2 * (high - low)


def table(results):
    """Return the figures of a problem's sides as Markdown, mean and spread over seeds."""
    figures = results.drop(columns=["problem", "seed", "seconds", "pairs", "observations"])
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
    folders = [pathlib.Path(_OUTPUT.value).resolve() / name for name in _PROBLEMS.value]
    for folder in folders:
        name = folder.name
        folder.mkdir(parents=True, exist_ok=True)
        for seed in range(_SEEDS.value):
            for side in _SIDES.value:
                if not (folder / f"{side}-{seed}.json").exists():
                    run(name, side, seed, folder)
        found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
        print(f"\n{name}\n\n{table(pd.DataFrame(found))}", flush=True)
        results += found
    draw(folders, pathlib.Path(_OUTPUT.value) / "posteriors.png")
    print(json.dumps(results))


if __name__ == "__main__":
    app.run(main)
