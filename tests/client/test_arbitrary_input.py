"""Whatever a client is asked with: an answer, or one line."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfp_cinn import UsageError
from tfp_cinn.client import open_local
from tfp_cinn.client.ask import ask_for_samples

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=8)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.lists(st.integers(-3, 12) | st.floats() | st.none() | st.lists(st.integers()), max_size=4),
    hnp.arrays(hnp.scalar_dtypes(), SHAPES),
    st.builds(np.zeros, st.sampled_from([(2, 8, 8, 1), (2, 64), (2,), (2, 2)]), st.just("f4")),
)
NAMES = ("x", "z", "cond", "seed", "temperature")


@pytest.fixture(scope="module")
def client(exported):
    with open_local(exported.path.parent) as client:
        yield client


def answers_or_refuses(ask):
    try:
        return ask()
    except UsageError as error:
        assert str(error) and "\n" not in str(error)
        return None


@hypothesis.settings(max_examples=150)
@hypothesis.given(
    signature=st.sampled_from(["sample", "log_prob", "encode", "decode", "card", ""]),
    values=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3),
    good=st.booleans(),
)
def test_requests_of_any_kind(client, signature, values, good):
    request = dict(values)
    if good:  # all inputs are there, and one or so is not what it should be
        rows = {
            "x": np.zeros((2, 8, 8, 1), "f4"), "z": np.zeros((2, 64), "f4"),
            "cond": np.zeros(2, "i4"), "seed": np.zeros((2, 2), "i4"),
            "temperature": np.ones(2, "f4"),
        }  # fmt: skip
        wanted = {
            "sample": ("cond", "seed", "temperature"), "log_prob": ("x", "cond"),
            "encode": ("x", "cond"), "decode": ("z", "cond"),
        }.get(signature, ())  # fmt: skip
        request = {name: values.get(name, rows[name]) for name in wanted}
    answer = answers_or_refuses(lambda: client.predict(signature, request))
    if answer is not None:
        assert all(isinstance(value, np.ndarray) for value in answer.values())


@hypothesis.settings(max_examples=20)
@hypothesis.given(
    cond=st.none()
    | st.lists(st.text(max_size=4) | st.sampled_from(["3", "two", "x.png"]), max_size=3),
    num_samples=st.integers(-2, 4),
    temperature=st.floats() | st.floats(0, 2),
    seed=st.integers(),
    name=st.sampled_from(["out.png", "out.npz", "out.pdf", "", "none/such/out.png"]),
)
def test_calls_of_the_program_of_any_kind(
    exported, tmp_path_factory, cond, num_samples, temperature, seed, name
):
    folder = tmp_path_factory.getbasetemp() / "answers"
    folder.mkdir(exist_ok=True)
    answers_or_refuses(
        lambda: ask_for_samples(
            saved_model=exported.path.parent,
            cond=cond,
            num_samples=num_samples,
            temperature=temperature,
            seed=seed,
            output=folder / name,
        )
    )
