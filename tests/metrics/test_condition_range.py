"""Which conditions are said to be out of range, of every kind of condition."""

import json

import numpy as np
import pytest

from tfp_cinn.metrics.condition_range import condition_distances, describe_far, measure_range

RNG = np.random.default_rng(0)


def smooth(n, *shape):
    """Slopes of a random direction."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, s) for s in shape[:-1]), indexing="ij"), -1)
    slopes = RNG.normal(size=(n, grid.shape[-1], shape[-1]))
    return np.tensordot(grid, slopes, ([-1], [1])).swapaxes(0, len(shape) - 1)


def points(n):
    mask = np.arange(5) < RNG.integers(2, 6, (n, 1))
    return {"p": np.where(mask[..., None], RNG.normal(size=(n, 5, 2)), 0), "p_mask": mask}


def missing(n):
    there = RNG.random((n, 3)) < 0.7
    return {"v": np.where(there, 1000 + RNG.normal(size=(n, 3)), 0), "v_mask": 1.0 * there}


def correlated(n):
    first = RNG.normal(size=(n, 1))
    return np.concatenate([first, first + 0.01 * RNG.normal(size=(n, 1))], 1)


# How conditions are drawn, and one changed so that it is out of range.
KINDS = {
    "vector": (lambda n: RNG.normal(size=(n, 4)), lambda c: c + [0, 0, 8, 0]),
    "correlated": (correlated, lambda c: c * 0 + [0.5, -0.5]),
    "long vector": (lambda n: smooth(n, 200, 1)[..., 0], lambda c: c + 9),
    "series": (lambda n: smooth(n, 33, 2), lambda c: c + RNG.normal(size=c.shape)),
    "map": (lambda n: smooth(n, 20, 15, 1), lambda c: c + RNG.normal(size=c.shape)),
    "set": (points, lambda c: c | {"p": c["p"] + 9}),
    "missing": (missing, lambda c: {"v": [[1009.0, 1000, 1000]], "v_mask": np.ones((1, 3))}),
    "several": (
        lambda n: {"label": RNG.integers(0, 3, n), "v": RNG.normal(size=(n, 1)), **points(n)},
        lambda c: c | {"v": c["v"] + 9},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_far_is_said_and_what_is_like_training_is_not(kind):
    draw, move = KINDS[kind]
    known = json.loads(json.dumps(measure_range([draw(1000) for _ in range(4)], ["p"])))
    assert len(json.dumps(known)) < 30_000
    fresh = condition_distances(known, draw(2000))
    assert fresh.shape == (2000,)
    assert (fresh > 1).mean() < 0.006  # 0.001, and what 2000 conditions tell of a quantile
    assert condition_distances(known, move(draw(1)))[0] > 1


def test_of_a_set_neither_order_nor_padding_counts():
    known = measure_range([points(500)], ["p"])
    cond = points(50)
    padded = cond | {"p": np.where(cond["p_mask"][..., None], cond["p"], 77.0)}
    turned = {name: part[:, ::-1] for name, part in cond.items()}
    for same in (padded, turned):
        np.testing.assert_allclose(
            condition_distances(known, same), condition_distances(known, cond)
        )


def test_labels_and_few_conditions_have_no_range():
    assert measure_range([np.arange(100)]) is None
    assert measure_range([np.zeros((5, 2))]) is None
    assert measure_range([]) is None


def test_one_line_names_the_rows():
    assert describe_far(np.array([0.2, 1.0])) is None
    line = describe_far(np.array([0.2, 3.0, 0.1, np.nan, 0.2]))
    assert line.startswith("2 of 5 conditions lie farther from those of training than 99.9 % of")
    assert "rows 1, 3;" in line and "\n" not in line
    assert "1 of 1 condition lies" in describe_far(np.array([2.0]))
