"""The pictures of `explore`, each with numbers for JSON."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn import latent
from tfp_cinn.distribution import ConditionalTransformedDistribution
from tfp_cinn.errors import UsageError
from tfp_cinn.latent import Typicality, auroc
from tfp_cinn.plots.panels import Panel, ScoredSet, draw_panels, draw_scores
from tfp_cinn.tasks.explore.explorable import Examples, Explorable, joined, map_condition

__all__ = ["TOOLS", "Run", "fitting"]

_SIDE_BY_SIDE = 3
_SHOWN = 18
_FALSE_ALARMS = 0.05
_TEMPERATURES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
_AXES = 5
_DRAWS = 4

Tool = Callable[["Run"], tuple[Callable[[pathlib.Path], None], dict[str, Any]]]


@dataclasses.dataclass
class Run:
    """What the tools draw.

    Attributes:
        task: what x and the condition are.
        dist: the trained flow's distribution.
        cases: the examples that pictures are drawn of.
        seed: of all that is drawn at random.
        steps: columns of a path.
        num_examples: held-out examples to judge, at most.
        folder: for further files than the picture.
    """

    task: Explorable
    dist: ConditionalTransformedDistribution
    cases: Examples
    seed: int
    steps: int
    num_examples: int
    folder: pathlib.Path

    @functools.cached_property
    def held_out(self) -> Examples:
        """Held-out examples to judge."""
        return self.task.held_out(self.num_examples)

    @property
    def few_cases(self) -> Examples:
        """Those that fit side by side; of many, not the first, which tend to be alike."""
        count = len(self.cases.names)
        few = range(count) if count <= _SIDE_BY_SIDE else [count // 3, 2 * count // 3]
        return self.cases.take(list(few))

    def decoded(self, z: np.ndarray, cases: Examples) -> np.ndarray:
        """Return images `[*path, N, H, W, C]` of latents `[*path, D]`, each under N conditions."""
        shape, count = self.dist.bijector.latent_shape, len(cases.x)
        decode = tf.function(self.dist.decode)
        # One by one: the features of a colorization network are large.
        flat = np.float32(z).reshape(-1, 1, *shape)
        cond = map_condition(tf.convert_to_tensor, cases.cond)
        x = np.stack([decode(tf.repeat(each, count, axis=0), cond) for each in flat])
        return self.task.show(x.reshape(*z.shape[:-1], *x.shape[1:]), cases)

    def nats_per_dim(self, examples: Examples) -> np.ndarray:
        """Return -log p(x | c) / D of each example."""
        return latent.nats_per_dim(self.dist, _batches(examples))

    def latents(self, examples: Examples) -> np.ndarray:
        """Return the latents of each example, flattened."""
        return latent.latents(self.dist, _batches(examples)).astype(np.float64)


def _batches(examples: Examples) -> tf.data.Dataset:
    pairs = examples.x if examples.cond is None else (examples.x, examples.cond)
    return tf.data.Dataset.from_tensor_slices(pairs).batch(100)


def interpolation(run: Run):
    """The way between the same two latents under each condition, straight and along the sphere."""
    pair = run.dist.distribution.sample(2, seed=[0, run.seed])
    z0, z1 = np.reshape(pair, [2, -1])
    panels, numbers = [], {}
    for kind in ("linear", "spherical"):
        z = latent.interpolate(z0, z1, run.steps, kind)
        panels.append(
            Panel(
                run.decoded(z, run.cases).swapaxes(0, 1),
                f"{kind} interpolation of the latents, t from 0 to 1",
                [f"{t:.2g}" for t in np.linspace(0, 1, run.steps)],
            )
        )
        norms = np.linalg.norm(z, axis=-1) / np.sqrt(z.shape[-1])
        numbers[kind] = {"smallest_norm_over_root_dimensions": float(norms.min())}
    title = "From one random latent to another, the same two in every row"
    return _panels(panels, run.cases.names, title), numbers


def transfer(run: Run):
    """Each case's latents under every case's condition."""
    cases, task = run.cases, run.task
    targets = map_condition(lambda part: np.expand_dims(part, 1), cases.cond)
    x = latent.transfer(run.dist, cases.x, cases.cond, targets).numpy()  # [targets, cases, ...]
    images = np.stack([task.show(x[:, row], cases) for row in range(len(x))])
    original, names = task.show(cases.x, cases)[:, np.newaxis], list(cases.names)
    conditions = task.show_conditions(cases)
    if conditions is not None:
        images = np.concatenate([conditions[np.newaxis], images])
        original = np.concatenate([np.ones_like(original[:1]), original])
        names = ["condition", *names]
    panels = [
        Panel(original, "original"),
        Panel(images, "its latents decoded under another condition", cases.names),
    ]
    task.write_transfers(x, cases, run.folder)
    same = x[np.arange(len(x)), np.arange(len(x))] - cases.x
    numbers = {"largest_round_trip_error": float(np.abs(same).max())}
    title = "Transfer: each row keeps its latents, each column gives the condition"
    return _panels(panels, names, title), numbers


def temperature(run: Run):
    """The same latents at rising temperature, under each condition."""
    rows = [
        latent.sweep(
            run.dist, map_condition(lambda part, row=row: part[row], run.cases.cond),
            _TEMPERATURES, seed=run.seed,
        )[:, 0]
        for row in range(len(run.cases.x))
    ]  # fmt: skip
    x = np.stack(rows, axis=1)
    images = run.task.show(x, run.cases).swapaxes(0, 1)
    panel = Panel(images, column_labels=[f"{each:g}" for each in _TEMPERATURES])
    spread = np.sqrt(((x - x[:1]) ** 2).mean(axis=tuple(range(1, x.ndim))))
    numbers = {"rms_change_from_first": spread.tolist()}
    title = "One random latent for all rows, times the temperature above"
    return _panels([panel], run.cases.names, title), numbers


def walks(run: Run):
    """Walks along the principal axes of the latents of held-out examples."""
    z = run.latents(run.held_out)
    found, cases, extent = latent.PrincipalComponents.of(z), run.few_cases, 3.0
    stds = found.stds[:_AXES]
    path = np.stack([found.walk(k, run.steps, extent) for k in range(len(stds))])
    images = run.decoded(path, cases)
    columns = [f"{s:+.2g}" if s else "mean" for s in np.linspace(-extent, extent, run.steps)]
    panels = [
        Panel(images[:, :, k], f"{name}, in standard deviations", columns)
        for k, name in enumerate(cases.names)
    ]
    numbers = {
        "num_examples": len(z),
        "stds": stds.tolist(),
        "explained": found.explained[:_AXES].tolist(),
        "noise_edge": found.noise_edge,
    }
    title = (
        f"Walks along the principal axes of the latents of {len(z)} held-out examples; draws of "
        f"N(0, I) would have std {found.noise_edge:.2f} or less"
    )
    return _panels(panels, [f"axis {k}, std {std:.2f}" for k, std in enumerate(stds, 1)], title), (
        numbers
    )


def scales(run: Run):
    """New latents of one resolution, those of the others kept."""
    layout, cases = run.dist.bijector.latent_scales, run.few_cases
    z = run.dist.encode(cases.x, cases.cond)
    drawn = np.stack(
        [
            latent.resample(run.dist, z, cases.cond, scale, [scale, run.seed], _DRAWS)
            for scale in range(len(layout))
        ]
    )
    original = np.broadcast_to(cases.x, (len(drawn), 1, *cases.x.shape))
    images = run.task.show(np.concatenate([original, drawn], axis=1), cases)
    columns = ["original", *map(str, range(1, _DRAWS + 1))]
    panels = [Panel(images[:, :, k], name, columns) for k, name in enumerate(cases.names)]
    rows = [f"scale {k}, {'x'.join(map(str, part.shape))}" for k, part in enumerate(layout)]
    numbers = {
        str(k): {"rms_change": float(np.sqrt(((each - cases.x) ** 2).mean()))}
        for k, each in enumerate(drawn)
    }
    title = "Latents of one resolution drawn anew, the others kept; scale 0 is the finest"
    return _panels(panels, rows, title), numbers


def likelihood(run: Run):
    """The most and the least likely of the held-out examples."""
    held_out = run.held_out
    nats = run.nats_per_dim(held_out)
    order = np.argsort(nats, kind="stable")
    count = max(1, min(_SHOWN, len(order) // 2))
    panels, numbers = [], {"num_examples": len(order)}
    for name, rows in (("most likely", order[:count]), ("least likely", order[::-1][:count])):
        few = held_out.take(rows)
        panels.append(_filled(run.task.show(few.x, few), name, few.names, nats[rows]))
        numbers[name.replace(" ", "_")] = [
            {"index": int(row), "name": held_out.names[row], "nats_per_dim": float(nats[row])}
            for row in rows
        ]
    title = (
        f"The most and the least likely of {len(order)} held-out examples: -log p(x | c), nats/dim"
    )
    return functools.partial(draw_panels, panels, title=title), numbers


def foreign(run: Run):
    """Likelihood, typicality and latent norm of inputs that the flow wasn't trained on.

    Entropy and threshold are of the first half of the held-out examples; the other half, and what
    is made of it, is judged.
    """
    half, least = len(run.held_out.x) // 2, round(1 / _FALSE_ALARMS)
    if half < least:
        raise UsageError(
            f"foreign: expected {2 * least} held-out examples or more, since half of them set a "
            f"threshold of {_FALSE_ALARMS:.0%} false alarms, got {len(run.held_out.x)}"
        )
    known, unseen = run.held_out.take(slice(half)), run.held_out.take(slice(half, None))
    sets = {"held out": unseen, **run.task.foreign(unseen, run.seed)}
    # All in one go, since networks are traced again each time.
    together = joined([known, *sets.values()])
    ends = np.cumsum([half, *(len(each.x) for each in sets.values())])[:-1]
    nats, *nats_of = np.split(run.nats_per_dim(together), ends)
    squares, *squares_of = np.split((run.latents(together) ** 2).mean(axis=1), ends)
    test, middle = Typicality.of(nats, _FALSE_ALARMS), squares.mean()
    drawn, numbers, reference = [], {}, None
    for (name, examples), nats, squares in zip(sets.items(), nats_of, squares_of, strict=True):
        scores = {
            "likelihood": nats,
            "typicality": test.distance(nats),
            "latent_norm": np.abs(squares - middle),
        }
        reference = reference or scores
        areas = {f"auroc_{key}": auroc(scores[key], reference[key]) for key in scores}
        caught, median = float(test.is_foreign(nats).mean()), float(np.median(nats))
        numbers[name] = {**areas, "caught": caught, "median_nats_per_dim": median}
        remark = "".join(f"AUROC {key[6:]:11} {area:.2f}\n" for key, area in areas.items())
        few = examples.take(slice(4))
        drawn.append(
            ScoredSet(
                name,
                run.task.show(few.x, few),
                nats,
                reference["likelihood"],
                (test.entropy - test.threshold, test.entropy + test.threshold),
                f"{remark}caught            {caught:.0%}",
            )
        )
    title = (
        f"Foreign inputs beside {len(unseen.x)} held-out ones. AUROC: 1 tells all apart, 0.5 none; "
        "likelihood below 0.5:\nforeign inputs are likelier than data. Caught: share outside the "
        f"typical range, where {_FALSE_ALARMS:.0%} of data should be"
    )
    label = "-log p, nats/dim; what lies beyond is piled up at the borders"
    draw = functools.partial(draw_scores, drawn, title=title, axis_label=label)
    return draw, {"num_examples": len(unseen.x), "sets": numbers}


def _panels(panels, rows, title):
    return functools.partial(draw_panels, panels, row_labels=list(rows), title=title)


def _filled(images, title, names, nats) -> Panel:
    """Images in rows of six, white where they end."""
    columns = min(6, len(images))
    missing = -len(images) % columns
    images = np.concatenate([images, np.ones((missing, *images.shape[1:]))])
    captions = [f"{name}\n{value:.2f}" for name, value in zip(names, nats, strict=True)]
    captions = np.reshape(captions + [""] * missing, (-1, columns)).tolist()
    return Panel(images.reshape(-1, columns, *images.shape[1:]), title, captions=captions)


TOOLS: dict[str, Tool] = {
    tool.__name__: tool
    for tool in (interpolation, transfer, temperature, walks, scales, likelihood, foreign)
}


def fitting(dist: ConditionalTransformedDistribution) -> list[str]:
    """Return the names of the tools that make sense for a flow."""
    without = {"transfer"} if dist.cond_shape is None else set()
    without |= {"scales"} if len(dist.bijector.latent_scales) < 2 else set()
    return [name for name in TOOLS if name not in without]
