import numpy as np
import pytest

from tfp_cinn import UsageError, architectures
from tfp_cinn.bijectors import (
    FactorOut,
    Flatten,
    GlowCoupling,
    HaarDownsampling,
    RandomPermutation,
    Select,
    SoftPermutation,
    Standardize,
)

SHAPES = (64, 64, 2), (64, 64, 1)
TINY = {
    "blocks": (1, 1, 1, 1), "widths": (2, 2, 2, 2), "vector": 3, "levels": ((2,), (2,), (2,)),
}  # fmt: skip


def conv(c_in, hidden, c_out, k):
    return k * k * c_in * hidden + hidden + k * k * hidden * c_out + c_out


def kinds(chain):
    return [type(b) for b in chain.bijectors]


def test_it_is_the_papers_network(pairs):
    model = architectures.build("colorization_minimal", pairs(*SHAPES))
    # Two subnets a block, the channels of whose input are a half and the condition's; of 2 channels
    # in two blocks, 8 in four with kernels 1, 3, 1, 3, again 8, and 1024 in four dense ones.
    expected = 2 * 2 * conv(1 + 64, 32, 2, 3)
    expected += 2 * 2 * (conv(4 + 128, 64, 8, 1) + conv(4 + 128, 64, 8, 3))
    expected += 2 * 2 * (conv(4 + 128, 128, 8, 1) + conv(4 + 128, 128, 8, 3))
    expected += 4 * 2 * ((512 + 512) * 512 + 512 + 512 * 1024 + 1024)
    # What the reference code itself counts of its flow and of its conditioner.
    assert expected == 9_555_080
    assert sum(layer.count_params() for layer in model.flow_layers) == expected
    assert model.conditioner.count_params() == 1_455_680
    assert [tuple(s) for s in model.bijector.latent_scales] == [
        (0, 6144, (32, 32, 6)), (6144, 7168, (16, 16, 4)), (7168, 8192, (1024,))
    ]  # fmt: skip

    flow = model.bijector
    assert kinds(flow) == [
        Standardize, Select, Select, HaarDownsampling, *[Select, RandomPermutation] * 4, FactorOut
    ]  # fmt: skip
    quarter = flow.bijectors[-1].rest
    assert kinds(quarter) == [HaarDownsampling, *[Select, RandomPermutation] * 4, FactorOut]
    dense = quarter.bijectors[-1].rest
    assert kinds(dense) == [Flatten, *[Select, RandomPermutation] * 4]
    assert (flow.bijectors[-1].keep, quarter.bijectors[-1].keep) == (2, 4)
    sides = [b.layers[0].weights[0].shape[0] for b in flow.bijectors if isinstance(b, Select)]
    assert sides == [3, 3, 1, 3, 1, 3]
    couplings = [
        b.bijector for c in (flow, quarter, dense) for b in c.bijectors if isinstance(b, Select)
    ]
    assert all(isinstance(b, GlowCoupling) for b in couplings)
    assert [b.get_config()["clamp"] for b in couplings] == [1.0] * 6 + [0.6] * 8
    assert [b.get_config()["seed"] for b in dense.bijectors[2::2]] == [0, 1, 2, 3]
    weights = np.concatenate([np.ravel(w) for layer in model.flow_layers for w in layer.weights])
    np.testing.assert_allclose([weights.mean(), weights.std()], [0, 0.02], atol=1e-4)


def test_fields_do_what_they_say(pairs):
    model = architectures.build(
        "colorization_minimal", pairs((8, 12, 3), (8, 12, 1)), permutation="soft", keep=(5, 9),
        mean=1.0, std=2.0, **TINY,
    )  # fmt: skip
    assert SoftPermutation in kinds(model.bijector)
    assert [s.shape for s in model.bijector.latent_scales] == [(4, 6, 7), (2, 3, 11), (54,)]


def test_other_backbones_are_tapped_at_the_resolutions_of_the_flow(pairs):
    data = pairs((8, 8, 2), (8, 8, 1))
    fields = {**TINY, "backbone": "MobileNetV2", "enlarge": 4}
    model = architectures.build("colorization_minimal", data, **fields)
    x, cond = data.batch(2)
    features = model.distribution.features(cond)
    assert {key: tuple(f.shape[1:]) for key, f in features.items()} == {
        "level0": (8, 8, 144), "level1": (4, 4, 192), "level2": (2, 2, 576), "vector": (1280,)
    }  # fmt: skip
    assert np.all(np.isfinite(model.distribution.log_prob(x, cond)))
    names = ("block_2_add", "block_5_add", "block_12_add")
    model = architectures.build("colorization_minimal", data, taps=names, **fields)
    assert model.distribution.features(cond)["level2"].shape[1:] == (2, 2, 96)


@pytest.mark.parametrize(
    ("shapes", "fields", "message"),
    [
        (((10, 8, 2), (10, 8, 1)), {}, r"H and W divisible by 4 for this flow, got \(10, 8, 2\)"),
        (
            ((8, 8, 2), (16, 16, 1)),
            {},
            "features of feature_pyramid are level0 16x16, level1 8x8, level2 4x4, vector; the "
            "flow needs level0 8x8, level1 4x4, level2 2x2, vector; choose other levels or taps",
        ),
        (((8, 8, 2), (8, 8, 1)), {"taps": ("a",)}, r"taps: expected 3 values, got \('a',\)"),
        (((8, 8, 2), (8, 8, 1)), {"blocks": (1,)}, "blocks: expected 4 values"),
        (((8, 8, 2), (8, 8, 1)), {"keep": (8, 4)}, "expected keep to be at least 1 and less than"),
    ],
)  # fmt: skip
def test_wrong_fields_are_answered_in_one_line(shapes, fields, message, pairs):
    with pytest.raises(UsageError, match=message) as caught:
        architectures.build("colorization_minimal", pairs(*shapes), **{**TINY, **fields})
    assert "\n" not in str(caught.value)
