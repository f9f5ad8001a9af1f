"""Which flow is chosen for which shapes, and what is said of it."""

import numpy as np
import pytest

from tfp_cinn import UsageError, tasks
from tfp_cinn.client.ask import ask_for_samples
from tfp_cinn.export import export_run
from tfp_cinn.tasks import Arrays
from tfp_cinn.training import train

RNG = np.random.default_rng(0)


def task(*shape):
    return Arrays(RNG.normal(size=(40, *shape)), np.arange(40) % 2)


@pytest.mark.parametrize(
    ("shape", "fields", "line"),
    [
        ((), {}, "x (1,) given (): elementwise flow, 3 blocks of 64x64, "),
        ((3,), {"blocks": 1}, "x (3,) given (): spline flow, 1 blocks of 64x64, "),
        ((6,), {"blocks": 1}, "x (6,) given (): affine flow, 1 blocks of 64x64, "),
        ((8, 4), {"blocks": 1}, "x (8, 4) given (): affine flow, 1 blocks of 128x128, "),
        ((24, 24, 2), {"blocks": 1}, "x (24, 24, 2) given (): convolutional flow, "),
        ((2,), {"blocks": 1, "ensemble": 3}, "given (): 3 times spline flow, 1 blocks of 64x64, "),
        ((5, 5, 1), {"blocks": 1, "hidden": (9,)}, "affine flow, 1 blocks of 9, "),
    ],
)
def test_one_line_says_what_was_chosen(shape, fields, line, capsys):
    data = task(*shape)
    capsys.readouterr()
    weights = data.build(fields).count_params()
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1 and line in printed[0] and f"{weights:,} weights" in printed[0]


@pytest.mark.parametrize(
    ("shape", "fields", "message"),
    [
        ((3,), {"flow": "magic"}, "model.flow: expected one of elementwise, spline, affine"),
        ((), {"flow": "spline"}, '"elementwise" for a number x, got .spline'),
        ((5, 5, 1), {"flow": "convolutional"}, "need a map of even height and width"),
        ((3,), {"flow": "convolutional"}, "need a map of even height"),
        ((3,), {"ensemble": 0}, "model.ensemble: expected at least 1, got 0"),
        ((3,), {"blocks": 0}, "model.blocks: expected at least 1, got 0"),
    ],
)
def test_a_flow_that_does_not_fit_is_refused(shape, fields, message):
    with pytest.raises(UsageError, match=message):
        task(*shape).build(fields)


@pytest.mark.parametrize("summary", [None, "set_transformer"])
@pytest.mark.parametrize("size", [3, 4])
def test_the_order_of_a_set_does_not_matter(summary, size):
    points = RNG.normal(size=(40, size, 2))
    points[:, -1:][RNG.random((40, 1)) < 0.5] = np.nan
    data = Arrays(RNG.normal(size=(40, 3)), points, sets=("cond",), missing=True)
    dist = data.build({"blocks": 1, "summary": summary}).distribution
    for w in dist.variables:
        w.assign(w + 0.1 * RNG.normal(size=w.shape))
    x, cond = next(iter(data.training_batches(8, 0, 0)))
    turned = {name: part[:, ::-1] for name, part in cond.items()}
    # Up to rounding: sums are in another order.
    np.testing.assert_allclose(dist.features(turned), dist.features(cond), rtol=1e-5, atol=1e-5)
    other = {**cond, "cond": cond["cond"] + 1}
    assert np.abs(dist.log_prob(x, other) - dist.log_prob(x, cond)).max() > 1e-3


def test_what_is_no_set_or_no_summary_is_refused():
    x = RNG.normal(size=(40, 3))
    with pytest.raises(UsageError, match="data.sets: .* got 'points' among cond"):
        Arrays(x, x, sets=("points",))
    with pytest.raises(UsageError, match="model.summary: expected one of deep_set, set_transf"):
        Arrays(x, x).build({"summary": "magic"})


@pytest.mark.long
def test_an_ensemble_is_trained_evaluated_exported_and_asked_as_one_flow(tmp_path):
    pairs, few = str(tmp_path / "pairs.npz"), str(tmp_path / "few.npz")
    x, cond = RNG.normal(size=(80, 3)), RNG.normal(size=(80, 2))
    np.savez(pairs, x=x, cond=cond)
    np.savez(few, cond=cond[:2])
    config = Arrays.default_config()
    config.data.train = pairs
    config.model.update({"blocks": 1, "hidden": (8,), "ensemble": 3})
    config.train.update({"epochs": 2, "steps_per_epoch": 5, "batch_size": 16})
    run, exported = tmp_path / "run", tmp_path / "models" / "mine"
    model = train(config.to_dict(), run)
    assert model.bijector.latent_shape == (5,)
    assert np.isfinite(tasks.evaluate(run)["nats_per_dim"]["mean"])
    tasks.sample(run, [few], 7, temperature=0.5, output=tmp_path / "drawn.npz")
    export_run(run, exported, batch_sizes=[4])
    asked = {"saved_model": exported, "cond": [few], "num_samples": 7, "temperature": 0.5}
    ask_for_samples(**asked, output=tmp_path / "asked.npz")
    with np.load(tmp_path / "drawn.npz") as drawn, np.load(tmp_path / "asked.npz") as answered:
        for name in ("x", "log_prob"):
            np.testing.assert_allclose(drawn[name], answered[name], rtol=1e-3, atol=1e-3)
