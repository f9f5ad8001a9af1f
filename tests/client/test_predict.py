"""Answers of every client against the model in Python, and what goes by when it is wrong."""

import json

import numpy as np
import pytest

from tfp_cinn import UsageError
from tfp_cinn.client import connect, open_local
from tfp_cinn.distribution import scaled
from tfp_cinn.export.signatures import noise


def inputs(rows, seed=0):
    rng = np.random.RandomState(seed)
    return {
        "x": rng.uniform(0, 17, (rows, 8, 8, 1)).astype(np.float32),
        "z": rng.randn(rows, 64).astype(np.float32),
        "cond": rng.randint(0, 10, rows).astype(np.int32),
        "seed": rng.randint(-(2**31), 2**31, (rows, 2)).astype(np.int32),
        "temperature": rng.uniform(0, 1, rows).astype(np.float32),
    }


def in_python(model, values):
    dist, cond = model.distribution, values["cond"]
    z = scaled(noise(values["seed"], (64,), "float32"), values["temperature"], 1)
    return {
        "sample": dist.decode(z, cond),
        "log_prob": dist.log_prob(values["x"], cond),
        "encode": dist.encode(values["x"], cond),
        "decode": dist.decode(values["z"], cond),
    }


SIGNATURES = {
    "sample": ("cond", "seed", "temperature"),
    "log_prob": ("x", "cond"),
    "encode": ("x", "cond"),
    "decode": ("z", "cond"),
}


@pytest.mark.parametrize("rows", [0, 1, 150])
def test_every_signature_gives_what_the_model_gives_by_every_way(exported, server, rows):
    values = inputs(rows)
    expected = in_python(exported.model, values)
    with (
        connect(server.addresses["grpc"], model="digits") as grpc,
        connect(server.addresses["rest"], "rest", model="digits") as rest,
        open_local(exported.path.parent) as local,
    ):
        for signature, names in SIGNATURES.items():
            request = {name: values[name] for name in names}
            answers = [c.predict(signature, request) for c in (grpc, rest, local)]
            for answer in answers:
                assert list(answer) == list(exported_outputs(local, signature))
                (got,) = answer.values()
                assert got.dtype == np.float32
                # The session adds up in another order than eager kernels do.
                scale = np.abs(expected[signature]).max(initial=1.0)
                np.testing.assert_allclose(got, expected[signature], rtol=0, atol=1e-5 * scale)
                # The same session, and JSON that loses nothing.
                np.testing.assert_array_equal(got, *answers[0].values())
    # No request without rows, and three of at most 64 for 150.
    assert len(server.asked) == 2 * (1 + 4 * -(-rows // 64))


def exported_outputs(client, signature):
    return client.card()["signatures"][signature]["outputs"]


def test_the_card_is_the_file_beside_the_model_and_asked_for_once(exported, server, ask):
    client = ask()
    card = client.card()
    assert card == json.loads((exported.path / "model_card.json").read_text())
    assert card["class_names"] == exported.class_names
    client.card()
    assert client.batch_size == 64
    assert server.asked == ["card"]


def test_lists_and_wider_numbers_will_do(ask):
    client = ask()
    narrow = {"cond": np.int32([3, 7]), "x": np.full((2, 8, 8, 1), 0.1, np.float32)}
    wide = {"cond": [3, 7], "x": np.full((2, 8, 8, 1), 0.1).tolist()}
    got, expected = client.predict("encode", wide), client.predict("encode", narrow)
    np.testing.assert_array_equal(got["z"], expected["z"])


def test_infinities_pass_in_both_directions(server, ask):
    values = inputs(3)
    values["x"][1, 2, 3] = np.inf
    seen = {}

    def change(outputs):
        if "log_prob" in outputs:
            seen.update(outputs)
            return {"log_prob": np.float32([np.inf, -np.inf, 1.5])}
        return outputs

    server.change = change
    got = ask().predict("log_prob", {"x": values["x"], "cond": values["cond"]})["log_prob"]
    assert got.tolist() == [np.inf, -np.inf, 1.5]
    assert np.isfinite(seen["log_prob"]).tolist() == [True, False, True]


WRONG = [
    ("draw", {}, "no signature 'draw', expected one of sample, log_prob, encode, decode, card"),
    ("decode", {"z": None}, "decode: expected the inputs z, cond, got cond"),
    ("decode", {"y": [1.0]}, "expected the inputs z, cond, got z, cond, y"),
    ("decode", {"cond": [0.5, 1.0]}, "input cond: expected int32, got float64"),
    ("decode", {"cond": ["3", "7"]}, "input cond: expected int32, got <U1"),
    ("decode", {"cond": [[1], [2, 3]]}, "input cond: expected an array"),
    ("decode", {"cond": 3}, "input cond: expected [N], got []"),
    ("decode", {"cond": [3]}, "inputs of equally many rows, got {'z': 2, 'cond': 1}"),
    ("decode", {"cond": [3, 10]}, "input cond: expected a class, 0 to 9, got 10 (row 1)"),
    ("decode", {"cond": [-1, 0]}, "expected a class, 0 to 9, got -1 (row 0)"),
    ("decode", {"cond": [2**40, 0]}, "expected int32, got 1099511627776 (row 0)"),
    ("decode", {"z": np.zeros((2, 63))}, "input z: expected [N, 64], got [2, 63]"),
    ("decode", {"z": np.full((2, 64), np.nan)}, "a number of float32, got nan (rows 0, 1)"),
    ("decode", {"z": np.full((2, 64), 1e39)}, "a number of float32, got 1e+39 (rows 0, 1)"),
    ("sample", {"temperature": [1.0, -0.5]}, "0 or more, and finite, got -0.5 (row 1)"),
    ("sample", {"temperature": [np.inf, 0.0]}, "0 or more, and finite, got inf (row 0)"),
    ("sample", {"seed": [1, 2]}, "input seed: expected [N, 2], got [2]"),
]


@pytest.mark.parametrize(("signature", "change", "message"), WRONG)
def test_wrong_input_is_said_before_it_is_sent(exported, signature, change, message):
    values = inputs(2)
    names = SIGNATURES.get(signature, ())
    request = {name: values[name] for name in names} | change
    request = {name: value for name, value in request.items() if value is not None}
    with open_local(exported.path) as client:
        client.card()
        client._ask = lambda *_: pytest.fail("asked")
        with pytest.raises(UsageError) as caught:
            client.predict(signature, request)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def numbers_only(change):
    """Changes other answers than the card."""
    return lambda outputs: {k: v if v.dtype == object else change(v) for k, v in outputs.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[1:], "of 3 rows of x float32 [N, 8, 8, 1], got x float32 [2, 8, 8"),
        (lambda x: x[..., 0], "of 3 rows of x float32 [N, 8, 8, 1], got x float32 [3, 8, 8]"),
        (
            lambda x: x * np.float32([[[[1]]], [[[np.nan]]], [[[1]]]]),
            "1 of 3 rows of the answer aren't numbers (row 1)",
        ),
    ],
)
def test_a_wrong_answer_is_said(server, ask, change, message):
    server.change = numbers_only(change)
    values = inputs(3)
    with pytest.raises(UsageError) as caught:
        ask().predict("decode", {"z": values["z"], "cond": values["cond"]})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_an_answer_of_another_name_or_type_is_said(server):
    server.change = numbers_only(np.float64)
    request = {"z": np.zeros((1, 64)), "cond": [0]}
    with connect(server.addresses["grpc"], model="digits") as client:
        with pytest.raises(UsageError, match="of x float32 .* got x float64"):
            client.predict("decode", request)
        server.change = lambda outputs: {"y": outputs["x"]}
        with pytest.raises(UsageError, match="of 1 rows of x .* got y float32"):
            client.predict("decode", request)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "hello", "[" * 100_000, '{"signatures": {}, "batch_sizes": []}']
    + ['{"signatures": {"f": {"inputs": {"x": {"dtype": "y"}}, "outputs": {}}}}'],
    ids=lambda text: text[:70],
)
def test_a_card_that_is_none_is_said(server, ask, text):
    server.change = lambda outputs: {"card": np.array([text.encode()], object)}
    with pytest.raises(UsageError, match="the model's card can't be read.*bin/") as caught:
        ask().card()
    assert len(str(caught.value)) < 600


def test_a_local_model_is_found_by_its_newest_version(exported, tmp_path, foreign):
    models = tmp_path / "digits"
    models.mkdir()
    (models / ".2-abc.tmp").mkdir()
    for name in ("9", "10"):
        (models / name).symlink_to(exported.path)
    with open_local(models) as client:
        assert str(client) == str(models / "10")
    with open_local(models, version=9) as client:
        assert client.card()["version"] == 1
    for folder, version, message in (
        (models, 3, "has no version 3, expected one of 9, 10"),
        (models / "9", 9, "is the folder of one version; give no version with it, or the folder"),
        (tmp_path / "none", None, "expected a folder of exported versions, MODELS/NAME"),
        (models / ".2-abc.tmp", None, "holds no version"),
    ):
        with pytest.raises(UsageError, match=message):
            open_local(folder, version)
    with (
        open_local(foreign.parent) as client,
        pytest.raises(UsageError, match="no signature 'card'.*bin"),
    ):
        client.card()


def test_a_damaged_local_model_is_said(exported, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(UsageError, match="can't be loaded") as caught:
        open_local(tmp_path)
    assert "\n" not in str(caught.value)
