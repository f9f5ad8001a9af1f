"""Rows keep to themselves, in one session and in a server's batches."""

import keras
import numpy as np
import pytest

from tests.helpers.exporting import FACTS, some
from tfp_cinn import CINN, UsageError, client
from tfp_cinn.bijectors import ActNorm, Chain, GlowCoupling, Select, SoftPermutation
from tfp_cinn.export import export_model
from tfp_cinn.export.session import SavedModelSession
from tfp_cinn.export.signatures import noise, signatures
from tfp_cinn.networks import MLP

# Of x's range of 17 gray levels: how a row's sample may depend on its batch, by rounding.
TOLERANCE = 1e-5 * 17


@pytest.fixture(scope="module")
def loaded(published):
    with SavedModelSession(published) as session:
        yield session


def sample(session, values):
    return session.predict("sample", some(values, session, "sample"))["x"]


def test_a_row_depends_on_itself_alone(loaded, rows):
    values = rows(64)
    together = sample(loaded, values)
    order = np.random.RandomState(1).permutation(64)
    shuffled = sample(loaded, {key: value[order] for key, value in values.items()})
    np.testing.assert_allclose(shuffled, together[order], atol=TOLERANCE)
    for k in (0, 17, 63):
        alone = sample(loaded, {key: value[k : k + 1] for key, value in values.items()})
        np.testing.assert_allclose(alone[0], together[k], atol=TOLERANCE)


def test_condition_seed_and_temperature_matter(loaded, rows):
    values = {key: np.repeat(value[:1], 4, axis=0) for key, value in rows(1).items()}
    values["temperature"][:] = 0.7
    x = sample(loaded, values)
    np.testing.assert_allclose(x, np.broadcast_to(x[:1], x.shape), atol=TOLERANCE)
    for key, changed in (
        ("cond", (values["cond"][:1] + 1) % 10),
        ("seed", values["seed"][:1] ^ [[1, 0]]),
        ("seed", values["seed"][:1] ^ [[0, 1]]),
        ("temperature", [0.8]),
    ):
        different = {k: v.copy() for k, v in values.items()}
        different[key][2:3] = changed
        y = sample(loaded, different)
        np.testing.assert_allclose(y[[0, 1, 3]], x[[0, 1, 3]], atol=TOLERANCE)
        assert np.abs(y[2] - x[2]).max() > 0.1


@pytest.mark.parametrize(
    ("signature", "key", "bad"),
    [
        ("sample", "cond", [-1, 10, 2**31 - 1]),
        ("sample", "temperature", [-0.1, np.nan, np.inf]),
        ("decode", "z", [np.nan, np.inf, -np.inf]),
        ("decode", "cond", [-1, 10, -(2**31)]),
        ("encode", "x", [np.nan, np.inf, -np.inf]),
        ("log_prob", "x", [np.nan, np.inf, -np.inf]),
        ("log_prob", "cond", [-1, 10, 99]),
    ],
)
def test_bad_rows_are_nan_and_harm_no_other(loaded, rows, signature, key, bad):
    values = some(rows(9), loaded, signature)
    (good,) = loaded.predict(signature, values).values()
    values[key] = values[key].copy()
    # One number of a row is enough.
    values[key].reshape(9, -1)[[2, 4, 8], 0] = bad
    (answer,) = loaded.predict(signature, values).values()
    fine = [0, 1, 3, 5, 6, 7]
    ill = np.isnan(answer).reshape(9, -1)
    assert ill[[2, 4, 8]].all() and not ill[fine].any()
    np.testing.assert_allclose(answer[fine], good[fine], rtol=1e-5, atol=TOLERANCE)


def test_bad_rows_can_come_back_as_zero_beside_a_flag(model, tmp_path, rows):
    """For JSON, which has no NaN."""
    path = export_model(model, tmp_path / "digits", batch_sizes=[1], facts=FACTS, bad_rows="flag")
    values = rows(4)
    values["cond"][1] = 10
    with SavedModelSession(path) as session:
        for signature in ("sample", "log_prob", "encode"):
            answer = session.predict(signature, some(values, session, signature))
            valid = answer.pop("valid")
            (answer,) = answer.values()
            assert valid.tolist() == [True, False, True, True]
            assert not answer[1].any() and answer[[0, 2, 3]].all(axis=0).any()
    good = {key: values[key][[0, 2]] for key in ("x", "cond")}
    expected = model.distribution.log_prob(**good)
    with client.open_local(path) as local:
        answer = local.predict("log_prob", good)
        np.testing.assert_allclose(answer["log_prob"], expected, rtol=1e-5)
        assert answer["valid"].tolist() == [True, True]
        with pytest.raises(UsageError, match=r"1 of 2 rows of the answer aren't numbers"):
            local.predict("log_prob", good | {"cond": [3, 10]})


def test_noise_is_standard_normal_and_rows_are_independent():
    seeds = np.stack([np.arange(200), np.zeros(200)], axis=1).astype(np.int32)
    z = noise(seeds, (500,), "float32").numpy()
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / z.size)
    correlations = np.corrcoef(z)[~np.eye(200, dtype=bool)]
    assert np.abs(correlations).max() < 6 / np.sqrt(500)
    assert abs(correlations.mean()) < 1e-2


@pytest.fixture(scope="module")
def pyramid():
    """A flow of vectors on a condition of two parts, through a conditioner."""
    parts = {k: keras.Input(s, name=k) for k, s in {"map": (3, 2), "vector": (5,)}.items()}
    features = keras.layers.Concatenate()([keras.layers.Flatten()(parts["map"]), parts["vector"]])
    outputs = {"first": keras.layers.Dense(4)(features), "second": keras.layers.Dense(3)(features)}
    conditioner = keras.Model(parts, outputs)
    flow = [
        ActNorm(),
        Select("first", GlowCoupling(MLP([8]))),
        SoftPermutation(0),
        Select("second", GlowCoupling(MLP([8]))),
    ]
    model = CINN(Chain(flow), (6,), conditioner, cond_shape={"map": (3, 2), "vector": (5,)})
    rng = np.random.RandomState(0)
    for weight in model.trainable_weights:
        weight.assign(weight.numpy() + 0.2 * rng.randn(*weight.shape))
    return model


def test_conditions_of_several_parts_have_an_input_each(pyramid, tmp_path):
    path = export_model(pyramid, tmp_path / "vectors", batch_sizes=[2])
    rng = np.random.RandomState(0)
    cond = {"map": rng.randn(4, 3, 2), "vector": rng.randn(4, 5)}
    x = rng.randn(4, 6)
    with SavedModelSession(path) as session:
        inputs = {"x": x, "cond_map": cond["map"], "cond_vector": cond["vector"]}
        answer = session.predict("log_prob", inputs)["log_prob"]
        np.testing.assert_allclose(answer, pyramid.distribution.log_prob(x, cond), rtol=1e-5)
        inputs["cond_vector"] = cond["vector"].copy()
        inputs["cond_vector"][1, 2] = np.nan
        spoilt = session.predict("log_prob", inputs)["log_prob"]
    assert np.isnan(spoilt).tolist() == [False, True, False, False]
    np.testing.assert_allclose(spoilt[[0, 2, 3]], answer[[0, 2, 3]], rtol=1e-5)


class SumOfParts(keras.layers.Layer):
    def call(self, cond):
        return sum(cond.values())


@pytest.mark.parametrize("parts", [["a b"], ["é"], [""], ["L", "l"]])
def test_parts_of_a_condition_have_to_name_inputs(parts):
    cond_shape = {part: (2,) for part in parts}
    model = CINN(Chain([GlowCoupling(MLP([4]))]), (4,), SumOfParts(), cond_shape)
    with pytest.raises(UsageError, match=f"cond_shape: the part {parts[0]!r} would be"):
        signatures(model, "x", "cond")


def test_a_flow_without_condition_has_no_input_for_it(tmp_path):
    model = CINN(Chain([GlowCoupling(MLP([8]))]), (4,))
    path = export_model(model, tmp_path / "plain", batch_sizes=[1])
    with SavedModelSession(path) as session:
        assert {name: set(s.inputs) for name, s in session.signatures.items()} == {
            "sample": {"seed", "temperature"},
            "serving_default": {"seed", "temperature"},
            "log_prob": {"x"},
            "encode": {"x"},
            "decode": {"z"},
            "card": {"row"},
        }
        x = session.predict("sample", {"seed": [[1, 2], [1, 3]], "temperature": [1.0, 1.0]})["x"]
    assert x.shape == (2, 4) and np.abs(x[0] - x[1]).max() > 0.1


@pytest.mark.long
def test_xla_gives_the_same_function(model, published, tmp_path, rows):
    path = export_model(model, tmp_path / "digits", batch_sizes=[2], xla=True)
    values = rows(5)
    with SavedModelSession(path) as compiled, SavedModelSession(published) as plain:
        for signature in ("log_prob", "decode", "encode"):
            (a,) = compiled.predict(signature, some(values, plain, signature)).values()
            (b,) = plain.predict(signature, some(values, plain, signature)).values()
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)
        # The noise is the same as well.
        np.testing.assert_allclose(sample(compiled, values), sample(plain, values), atol=1e-3)
