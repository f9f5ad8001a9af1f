"""Whatever a client is asked with: an answer, or one line."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfp_cinn import UsageError
from tfp_cinn.client import open_local

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=8)
VALUES = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(-3, 12) | st.floats() | st.none() | st.lists(st.integers()), max_size=4),
    hnp.arrays(hnp.scalar_dtypes(), SHAPES),
    st.builds(np.zeros, st.sampled_from([(2, 8, 8, 1), (2, 64), (2,), (2, 2)]), st.just("f4")),
)
GOOD = {
    "x": np.zeros((2, 8, 8, 1), "f4"), "z": np.zeros((2, 64), "f4"), "cond": np.zeros(2, "i4"),
    "seed": np.zeros((2, 2), "i4"), "temperature": np.ones(2, "f4"),
}  # fmt: skip
INPUTS = {
    "sample": ("cond", "seed", "temperature"),
    "log_prob": ("x", "cond"),
    "encode": ("x", "cond"),
    "decode": ("z", "cond"),
    "card": (),
    "": (),
}


@pytest.fixture(scope="module")
def client(exported):
    with open_local(exported.path.parent) as client:
        yield client


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    signature=st.sampled_from(sorted(INPUTS)),
    values=st.dictionaries(st.sampled_from(sorted(GOOD)), VALUES, max_size=3),
    good=st.booleans(),
)
def test_requests_of_any_kind(client, signature, values, good):
    if good:  # all inputs are there, and one or so is not what it should be
        values = {name: values.get(name, GOOD[name]) for name in INPUTS[signature]}
    try:
        answer = client.predict(signature, values)
    except UsageError as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert all(isinstance(value, np.ndarray) for value in answer.values())
