"""Posteriors of vectors, measured on held-out pairs and drawn."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tqdm

from tfp_cinn.conditions import stateless_seed
from tfp_cinn.data.arrays import Pairs
from tfp_cinn.data.arrays.batches import structured
from tfp_cinn.data.arrays.pairs import MASK, as_parts
from tfp_cinn.metrics import c2st, posterior
from tfp_cinn.metrics.figure import Figure
from tfp_cinn.model import CINN
from tfp_cinn.plots.calibration import draw_calibration, draw_coverage, draw_recovery
from tfp_cinn.plots.posterior import draw_corner
from tfp_cinn.tasks.explore.explorable import Examples, map_condition
from tfp_cinn.tasks.task import Task
from tfp_cinn.workdir import Workdir

__all__ = ["Posteriors", "draw_posteriors", "measure_posteriors"]

_MOST = 1000  # held-out pairs
_FEWEST = 20
_LONGEST = 20  # x
_WIDEST = 100  # condition that a classifier is shown
_ROWS = 20_000  # of a batch


class Posteriors(NamedTuple):
    """What was measured, for pictures.

    Attributes:
        samples: `[draws, n, d]`.
        truth: `[n, d]`.
        names: of the entries of x.
        uniform: of the ranks of each entry and of TARP.
    """

    samples: np.ndarray
    truth: np.ndarray
    names: list[str]
    uniform: posterior.Uniformity


def measure_posteriors(
    task: Task, model: CINN, num_samples: int, temperature: float, seed: int
) -> tuple[list[Figure], Posteriors | None]:
    """Measure posterior samples for held-out pairs, 1000 at most.

    Args:
        task: of vectors x of up to 20 entries, and conditions; of others nothing is measured.
        model: the model.
        num_samples: draws for each pair.
        temperature: factor on the latents.
        seed: of the draws and of the classifier.
    """
    size = task.event_shape[-1]
    if len(task.event_shape) != 1 or size > _LONGEST or task.cond_shape is None:
        return [], None
    pairs = task.held_out(_MOST)
    samples = _drawn(model, pairs.cond, num_samples, temperature, seed)
    finite = np.isfinite(samples).all(axis=(0, 2))
    bad = int(np.size(samples[..., 0]) - np.isfinite(samples).all(axis=-1).sum())
    figures = [
        Figure(len(finite)).named("num_test", "pairs", "whose posteriors were drawn"),
        Figure(bad).named(
            "non_finite_samples", "samples", "with NaN or infinity; their pairs are left out"
        ),
    ]
    if finite.sum() < _FEWEST:
        print(f"posteriors: {finite.sum()} pairs are too few to judge them; hold out {_FEWEST}")
        return figures, None
    pairs, samples = pairs.take(finite), samples[:, finite]
    names = list(task.description["columns"].get("x", ())) or [f"x[{i}]" for i in range(size)]
    judged, uniform = posterior.judge_posteriors(samples, pairs.x, names)
    figures += [*judged, *_joint(task, pairs, samples[0], seed)]
    return figures, Posteriors(samples, pairs.x, names, uniform)


def draw_posteriors(found: Posteriors, workdir: Workdir) -> None:
    """Draw `calibration.png`, `coverage.png`, `recovery.png` and one `posterior.png`."""
    samples, truth, names, uniform = found
    draws, count = samples.shape[:2]
    title = f"{count} held-out pairs, {draws} draws each"
    with workdir.writing("calibration.png") as path:
        draw_calibration(uniform, [*names, "TARP"], path, f"{title}; gray: 95 % for all panels")
    with workdir.writing("coverage.png") as path:
        ranks = posterior.ranks(samples, truth)
        draw_coverage(ranks, draws, names, path, f"{title}; gray: two standard errors")
    with workdir.writing("recovery.png") as path:
        first = f"{min(count, 200)} held-out pairs, {draws} draws each"
        draw_recovery(samples[:, :200], truth[:200], names, path, first)
    with workdir.writing("posterior.png") as path:
        draw_corner(samples[:, 0], path, names, truth[0], "the first held-out pair")
    print(f"{workdir}: drew calibration.png, coverage.png, recovery.png, posterior.png")


def _drawn(model: CINN, cond: Any, num_samples: int, temperature: float, seed: int) -> np.ndarray:
    """Return samples `[num_samples, n, d]`."""
    count = len(tf.nest.flatten(cond)[0])
    step = max(1, _ROWS // num_samples)

    @tf.function(reduce_retracing=True)
    def draw(cond, seed):
        return model.distribution.sample(cond, num_samples, seed, temperature)

    parts = []
    for start in tqdm.trange(0, count, step, desc="sample", leave=False, disable=None):
        rows = map_condition(lambda part: tf.constant(part[start : start + step]), cond)  # noqa: B023
        parts.append(draw(rows, stateless_seed(seed) + [0, start]).numpy())
    return np.concatenate(parts, axis=1)


def _joint(task: Task, pairs: Examples, x: np.ndarray, seed: int) -> list[Figure]:
    """Compare a sample for each condition, `[n, d]`, with the truth by what goes with c."""
    cond, figures = _columns(task, pairs.cond), []
    if cond.shape[1] <= _WIDEST:
        both = [np.hstack([each, cond]) for each in (x, pairs.x)]
        figures.append(c2st(*both, paired=True, seed=seed))
    masked = isinstance(pairs.cond, dict) and any(name.endswith(MASK) for name in pairs.cond)
    if task.observe is not None and not masked:
        for of, each in (("samples", x), ("truth", pairs.x)):
            again = Pairs(each, as_parts(task.observe(each, seed)), "observe").take(slice(None))
            again = _columns(task, structured(again))
            figures.append(posterior.resimulation_error(again, cond, of=of))
    return figures


def _columns(task: Task, cond: Any) -> np.ndarray:
    """Return all parts of conditions side by side, labels as one-hot vectors."""
    columns = []
    for name, part in as_parts(cond).items():
        classes = task.parts.get(name, {}).get("num_classes")
        columns.append(np.eye(classes)[part] if classes else part.reshape(len(part), -1))
    return np.hstack(columns)
