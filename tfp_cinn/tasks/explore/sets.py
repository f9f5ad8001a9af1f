"""Tools of `bin/explore.py` that judge whole sets: likelihood, and inputs that are foreign."""

from __future__ import annotations

import functools

import numpy as np

from tfp_cinn.errors import UsageError
from tfp_cinn.latent import Ranking, Typicality, auroc
from tfp_cinn.plots.panels import Panel, ScoredSet, draw_panels, draw_scores
from tfp_cinn.tasks.explore.options import Options, Picture
from tfp_cinn.tasks.explore.subject import Examples, Scores, Subject

__all__ = ["foreign", "likelihood"]

_SHOWN = (3, 6)  # rows and columns of the most and of the least likely
_FALSE_ALARMS = 0.05
_EXAMPLES = 4  # images of each foreign set


def likelihood(subject: Subject, cases: Examples, options: Options) -> Picture:
    """The most and the least likely of the held-out examples."""
    held_out = subject.held_out(options.num_examples)
    ranking = Ranking.of(subject.scores(held_out).nats_per_dim)
    count = min(_SHOWN[0] * _SHOWN[1], len(held_out.x) // 2)
    if not count:
        raise UsageError(f"likelihood: expected 2 held-out examples or more, got {len(held_out.x)}")
    panels, numbers = [], {"num_examples": len(held_out.x)}
    for name, rows in (
        ("most likely", ranking.most_likely(count)),
        ("least likely", ranking.least_likely(count)),
    ):
        nats = ranking.nats_per_dim[rows]
        names = [held_out.names[row] for row in rows]
        captions = [f"{each}\n{value:.2f}" for each, value in zip(names, nats, strict=True)]
        panels.append(_filled(subject, held_out.take(rows), name, captions))
        numbers[name.replace(" ", "_")] = [
            {"index": int(row), "name": each, "nats_per_dim": float(value)}
            for row, each, value in zip(rows, names, nats, strict=True)
        ]
    names = np.array(held_out.names)
    numbers["nats_per_dim_by_name"] = {
        str(name): float(ranking.nats_per_dim[names == name].mean()) for name in np.unique(names)
    }
    title = (
        f"The most and the least likely of {len(names)} held-out examples: -log p(x | c), nats/dim"
    )
    draw = functools.partial(draw_panels, panels, title=title)
    return Picture(draw, numbers)


def foreign(subject: Subject, cases: Examples, options: Options) -> Picture:
    """Likelihood, typicality and latent norm of inputs that the flow wasn't trained on.

    Entropy and threshold are of the first half of the held-out examples; the other half, and what
    is made of it, is judged.
    """
    held_out = subject.held_out(options.num_examples)
    half, least = len(held_out.x) // 2, round(1 / _FALSE_ALARMS)
    if half < least:
        raise UsageError(
            f"foreign: expected {2 * least} held-out examples or more, since half of them set a "
            f"threshold of {_FALSE_ALARMS:.0%} false alarms, got {len(held_out.x)}"
        )
    known, unseen = held_out.take(slice(half)), held_out.take(slice(half, None))
    groups: dict[bool, dict[str, Examples]] = {}
    for name, examples in subject.foreign(unseen, options.seed).items():
        groups.setdefault(examples.cond is not None, {})[name] = examples
    drawn, numbers = [], {}
    # With and without conditions, densities differ, and so does what they are compared with.
    for conditional, members in sorted(groups.items(), reverse=True):
        if not conditional:
            known, unseen = (each._replace(cond=None) for each in (known, unseen))
        name = "held out" if conditional else "held out, condition unknown"
        whole = {name: unseen, **members}
        calibration, reference, *others = _scores(subject, [known, unseen, *members.values()])
        test = Typicality.of(calibration.nats_per_dim, _FALSE_ALARMS)
        middle = calibration.square.mean()
        for (name, examples), scores in zip(whole.items(), (reference, *others), strict=True):
            judged = _judged(test, middle, scores, reference)
            numbers[name] = judged
            drawn.append(
                ScoredSet(
                    name,
                    _first(subject, examples),
                    scores.nats_per_dim,
                    reference.nats_per_dim,
                    (test.entropy - test.threshold, test.entropy + test.threshold),
                    _remark(judged, scores is reference),
                )
            )
    title = (
        f"Foreign inputs beside {len(unseen.x)} held-out ones. AUROC: 1 tells all apart, 0.5 none; "
        "likelihood below 0.5:\nforeign inputs are likelier than data. Caught: share outside the "
        f"typical range, where {_FALSE_ALARMS:.0%} of data should be"
    )
    label = "-log p, nats/dim; what lies beyond is piled up at the borders"
    draw = functools.partial(draw_scores, drawn, title=title, axis_label=label)
    return Picture(draw, {"num_examples": len(unseen.x), "sets": numbers})


def _first(subject: Subject, examples: Examples) -> np.ndarray:
    """Images of a few."""
    examples = examples.take(slice(_EXAMPLES))
    return subject.shown(examples.x, examples, exact=True)


def _scores(subject: Subject, sets: list[Examples]) -> list[Scores]:
    """Scores of each set; of all in one go, as networks are traced anew each time."""
    cond = None if sets[0].cond is None else np.concatenate([each.cond for each in sets])
    names = [name for each in sets for name in each.names]
    whole = subject.scores(Examples(np.concatenate([each.x for each in sets]), cond, names))
    ends = np.cumsum([len(each.x) for each in sets])[:-1]
    return [Scores(*parts) for parts in zip(*(np.split(s, ends) for s in whole), strict=True)]


def _judged(test: Typicality, middle: float, scores: Scores, reference: Scores) -> dict[str, float]:
    """How well each score tells examples from the reference, and how many the test catches."""
    pairs = {
        "auroc_likelihood": (scores.nats_per_dim, reference.nats_per_dim),
        "auroc_typicality": tuple(test.distance(s.nats_per_dim) for s in (scores, reference)),
        "auroc_latent_norm": tuple(np.abs(s.square - middle) for s in (scores, reference)),
    }
    return {
        **{name: auroc(*pair) for name, pair in pairs.items()},
        "caught": float(test.is_foreign(scores.nats_per_dim).mean()),
        "median_nats_per_dim": float(np.median(scores.nats_per_dim)),
    }


def _remark(judged: dict[str, float], is_reference: bool) -> str:
    if is_reference:
        return f"caught           {judged['caught']:.0%}"
    return (
        f"AUROC likelihood {judged['auroc_likelihood']:.2f}\n"
        f"      typicality {judged['auroc_typicality']:.2f}\n"
        f"      |z|        {judged['auroc_latent_norm']:.2f}\n"
        f"caught           {judged['caught']:.0%}"
    )


def _filled(subject: Subject, examples: Examples, name: str, captions: list[str]) -> Panel:
    """Examples as a panel of a few columns, white where they end."""
    images = subject.shown(examples.x, examples)
    columns = min(_SHOWN[1], len(images))
    rows = -(-len(images) // columns)
    grid = np.ones((rows * columns, *images.shape[1:]), images.dtype)
    grid[: len(images)] = images
    captions = captions + [""] * (len(grid) - len(captions))
    return Panel(
        grid.reshape(rows, columns, *images.shape[1:]),
        name,
        captions=[captions[row * columns : (row + 1) * columns] for row in range(rows)],
    )
