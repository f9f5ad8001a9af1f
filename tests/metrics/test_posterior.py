"""Checks of posteriors: the true ones pass, and each check fails for what it is there to find."""

import math

import numpy as np
import pytest

from tfp_cinn import UsageError
from tfp_cinn.metrics import posterior
from tfp_cinn.metrics.c2st import c2st

N, DRAWS = 400, 199


def problem(shift=0.0, scale=1.0, seed=0):
    """Draws from p(x | c) of x ~ N(0, I), c = x + N(0, I), shifted and scaled; truth; c."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(N, 2))
    cond = truth + rng.normal(size=truth.shape)
    noise = math.sqrt(0.5) * rng.normal(size=(DRAWS, N, 2))
    return cond / 2 + shift + scale * noise, truth, cond


def figures(*arguments):
    found, _ = posterior.judge_posteriors(*problem(*arguments)[:2], ["a", "b"])
    return {(figure.name, figure.of): figure for figure in found}


def test_true_posteriors_pass_with_the_values_that_theory_gives():
    expected = {
        "coverage_50": 0.5, "coverage_80": 0.8, "coverage_95": 0.95,
        "z_score": 0, "z_rms": 1, "contraction": 0.5,
        "recovery_r2": 0.5, "recovery_nrmse": math.sqrt(0.5),
    }  # fmt: skip
    found = figures()
    assert {name for name, _ in found} == {*expected, "rank_p_value"}
    for (name, of), figure in found.items():
        assert figure.unit and figure.meaning and of in ("a", "b", "TARP")
        if name == "rank_p_value":
            assert figure.mean > 0.05
        else:
            # The noise of R^2 through that of the truths' variance is of both.
            assert abs(figure.mean - expected[name]) < 4 * figure.standard_error + 0.02
            assert 0 < figure.standard_error < 0.06


@pytest.mark.parametrize(
    ("shift", "scale", "signs"),
    [
        (0.0, 0.7, {"coverage_80": -1, "z_rms": 1, "contraction": 1}),
        (0.0, 1.4, {"coverage_80": 1, "z_rms": -1, "contraction": -1}),
        (0.4, 1.0, {"z_score": 1, "z_rms": 1, "recovery_r2": -1, "recovery_nrmse": 1}),
    ],
    ids=["too narrow", "too wide", "beside"],
)
def test_what_is_wrong_with_posteriors_is_seen(shift, scale, signs):
    true, wrong = figures(), figures(shift, scale)
    for name, sign in signs.items():
        one, other = true[name, "a"], wrong[name, "a"]
        error = math.hypot(one.standard_error, other.standard_error)
        assert sign * (other.mean - one.mean) > 2 * error, name
    assert wrong["rank_p_value", "a"].mean < 0.01
    assert wrong["rank_p_value", "TARP"].mean < 0.05


def test_only_tarp_sees_a_wrong_correlation():
    samples, truth, _ = problem()
    mean = samples.mean(axis=0)
    samples[..., 1] = mean[:, 1] + samples[..., 0] - mean[:, 0]
    found, uniform = posterior.judge_posteriors(samples, truth, ["a", "b"])
    assert (uniform.p_value[:2] > 0.01).all() and uniform.p_value[2] < 0.01


@pytest.mark.parametrize(("draws", "entries"), [(199, 1), (30, 4)])
def test_uniform_ranks_leave_the_band_as_often_as_its_level_says(draws, entries):
    rng = np.random.default_rng(0)
    outside, p_values = [], []
    for _ in range(40):
        found = posterior.uniformity(rng.integers(0, draws + 1, (100, entries)), draws, level=0.8)
        low, high = found.low[:, np.newaxis], found.high[:, np.newaxis]
        outside.append(((found.difference < low) | (found.difference > high)).any())
        p_values.append(found.p_value)
    # Of 40, at a probability of 0.2 (or a little less, by Bonferroni), with 4 sigma.
    assert 0 < np.mean(outside) < 0.2 + 4 * math.sqrt(0.16 / 40)
    assert abs(np.mean(p_values) - 0.5) < 0.15


def test_ranks_of_the_outermost_truths():
    samples = np.array([[[0.0]], [[1.0]], [[2.0]]])
    for truth, rank in ((-1.0, 0), (0.5, 1), (5.0, 3)):
        assert posterior.ranks(samples, np.array([[truth]])) == rank
    inside = posterior.interval_coverage(np.arange(100), 99, 0.5)
    assert inside.mean == 0.5 and posterior.interval_coverage(np.array([50]), 99, 0.5).mean == 1
    assert posterior.interval_coverage(np.full(9, 50), 99, 0.5).standard_error > 0


def test_resimulation_error_is_in_units_of_the_conditions():
    cond = np.random.default_rng(0).normal(size=(1000, 3)) * [1, 100, 0]
    again = cond + 0.5 * cond.std(axis=0) * np.random.default_rng(1).normal(size=cond.shape)
    figure = posterior.resimulation_error(again, cond)
    assert abs(figure.mean - 0.5) < 4 * figure.standard_error < 0.1


def test_a_classifier_tells_samples_apart_as_well_as_can_be():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 500, 2))
    same = c2st(first, second)
    assert abs(same.mean - 0.5) < 4 * same.standard_error
    # The best accuracy for two normals two apart is Phi(1) = 0.841.
    apart = c2st(first, second + [2, 0])
    assert abs(apart.mean - 0.841) < 4 * apart.standard_error + 0.01
    # scikit-learn takes seeds of 32 bits, our programs of 63.
    assert c2st(first, second, seed=2**40) == same
    with pytest.raises(UsageError, match="c2st: expected two arrays"):
        c2st(first, second[:9])


def test_pairs_of_one_condition_are_in_one_fold():
    samples, truth, cond = problem()
    true = c2st(np.hstack([samples[0], cond]), np.hstack([truth, cond]), paired=True)
    assert abs(true.mean - 0.5) < 4 * true.standard_error
    blind = np.random.default_rng(2).permutation(truth)  # the prior passes all but this
    found = c2st(np.hstack([blind, cond]), np.hstack([truth, cond]), paired=True)
    assert found.mean > 0.6
