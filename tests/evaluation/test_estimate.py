import math

import numpy as np
import pytest

from tfp_cinn.evaluation import Estimate


def test_mean_and_standard_error():
    assert Estimate.of([1.0, 3.0]) == (2.0, 1.0)
    assert Estimate.of([1.0, 3.0]).scaled(-2) == (-4.0, 2.0)


def test_classes_count_alike_whatever_their_size():
    values = [1.0, 3.0, 1.0, 3.0, 10.0, 10.0]
    estimate = Estimate.over_classes(values, [0, 0, 0, 0, 7, 7])
    assert estimate.mean == 6.0
    assert math.isclose(estimate.standard_error, np.std([1, 3, 1, 3], ddof=1) / 2 / 2)


def test_root_and_ratio_propagate_the_error():
    rng = np.random.RandomState(0)
    a, b = 9.0 + 0.02 * rng.randn(2, 20_000)
    # Measured spread has a relative error of 1 / sqrt(2 N) = 0.005.
    assert math.isclose(Estimate(9.0, 0.02).root().standard_error, np.sqrt(a).std(), rel_tol=0.02)
    ratio = Estimate(9.0, 0.02).over(Estimate(9.0, 0.02))
    assert math.isclose(ratio.standard_error, (a / b).std(), rel_tol=0.02)
    assert Estimate(0.0, 0.0).root() == (0.0, 0.0)


@pytest.mark.parametrize(
    "estimate",
    [
        Estimate.of([]),
        Estimate.over_classes([], []),
        Estimate.of([math.nan, 1.0]),
        Estimate(1.0, 0.1).over(Estimate(0.0, 0.0)),
    ],
)
def test_json_has_null_for_what_is_not_a_number(estimate):
    assert estimate.as_json() == {"mean": None, "standard_error": None}


def test_one_value_has_no_error():
    assert Estimate.of([2.0]).as_json() == {"mean": 2.0, "standard_error": None}
