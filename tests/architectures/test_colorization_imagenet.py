import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import UsageError, architectures
from tfp_cinn.bijectors import Embed, FactorOut, HaarDownsampling, Select, SoftPermutation, Squeeze

SMALL = {
    "blocks": (1, 1), "widths": (4, 6), "mixing_widths": (4, 6), "keep": (0, 5), "strided": (5,),
    "dense_blocks": 1, "dense_hidden": (8,), "dense_strided": (5,), "backbone_width": 1,
}  # fmt: skip


def conv(c_in, c_out, k):
    return k * k * c_in * c_out + c_out


def subnet(c_in, hidden, c_out, k):
    return conv(c_in, hidden, k) + conv(hidden, hidden, k) + conv(hidden, c_out, k)


def embedding(strided, channels):
    """Of the features, strided convolutions, one more, and batch normalization."""
    widths = [256, *strided, channels]
    pairs_of_widths = zip(widths[:-1], widths[1:], strict=True)
    return sum(conv(a, b, 3) for a, b in pairs_of_widths) + 2 * channels


def trainable(layers):
    return sum(int(np.prod(w.shape)) for layer in layers for w in layer.trainable_weights)


@pytest.mark.long
def test_the_published_network_builds_trains_and_is_inverted(pairs, perturb):
    data = pairs((64, 64, 2), (256, 256, 1))
    model = architectures.build("colorization_imagenet", data)
    expected = 0
    for k, (depth, channels, width, mixing) in enumerate(
        [(4, 2, 32, 64), (6, 8, 64, 128), (6, 16, 128, 256), (6, 32, 256, 256)]
    ):
        # Two subnets a block, of half of the channels; blocks with a condition, then without.
        block = 2 * subnet(channels // 2 + width, width, channels, 3)
        expected += depth * (block + embedding((128, 128, 256)[:k], width))
        expected += 2 * 2 * subnet(2 * channels, mixing, 4 * channels, 1)
    hidden = 2 * (512 * 512 + 512)
    expected += 8 * 2 * ((256 + 512) * 512 + 512 + hidden + 512 * 512 + 512)
    # What the reference code itself counts: flow, the dense blocks' network, backbone.
    assert expected == 54_352_208
    assert trainable(model.flow_layers) == expected + 2_361_472
    assert trainable([model.conditioner]) == 32_154_944
    assert [tuple(s) for s in model.bijector.latent_scales] == [
        (0, 4096, (16, 16, 16)), (4096, 6144, (8, 8, 32)), (6144, 7680, (4, 4, 96)),
        (7680, 8192, (512,)),
    ]  # fmt: skip

    perturb([model], std=0.01)
    x, cond = data.batch(2)
    dist = model.distribution
    z = dist.encode(x, cond)
    assert np.abs(dist.decode(z, cond) - x).max() < 1e-4 * x.std()

    # Not as a graph: tracing takes longer than the steps.
    model.compile(keras.optimizers.SGD(1e-2, global_clipnorm=1.0), run_eagerly=True)
    losses = []
    for _ in range(2):
        model.reset_metrics()
        losses.append(float(model.train_step((tf.constant(x), tf.constant(cond)))["loss"]))
    assert losses[1] < losses[0]


def kinds(chain):
    return [type(b) for b in chain.bijectors]


def test_order_of_its_parts(pairs):
    model = architectures.build(
        "colorization_imagenet", pairs((8, 8, 2), (32, 32, 1)), **{**SMALL, "blocks": (2, 1)}
    )
    mixing = [SoftPermutation, Select] * 2
    flow = model.bijector
    assert kinds(flow)[1:] == [
        *[Embed, SoftPermutation] * 2, Squeeze, *mixing, Embed, SoftPermutation, HaarDownsampling,
        *mixing, FactorOut,
    ]  # fmt: skip
    assert flow.bijectors[-1].keep == 5
    embeds = [b for b in flow.bijectors if isinstance(b, Embed)]
    assert [b.network.output.shape[1:] for b in embeds] == [(8, 8, 4), (8, 8, 4), (4, 4, 6)]
    assert len({id(b.network) for b in embeds}) == 3
    seeds = [b.get_config()["seed"] for b in flow.bijectors if isinstance(b, SoftPermutation)]
    assert seeds == list(range(7))
    haar = next(b for b in flow.bijectors if isinstance(b, HaarDownsampling)).get_config()
    assert (haar["rebalance"], haar["order_by_wavelet"]) == (0.5, True)
    for b in flow.bijectors:
        slopes = [a.activation.negative_slope for a in _hidden(b)]
        if isinstance(b, Embed):
            assert slopes == [0.05] * 4
        elif isinstance(b, Select):
            assert (b.key, slopes) == (None, [0.01] * 4)


def _hidden(bijector):
    """Layers of the subnets but for their last."""
    if not isinstance(bijector, (Embed, Select)):
        return []
    return [a for net in bijector.bijector.layers for a in net.layers[:-1]]


def test_starting_weights_are_those_of_the_published_code(pairs):
    model = architectures.build(
        "colorization_imagenet", pairs((8, 8, 2), (64, 64, 1)),
        **{**SMALL, "widths": (64, 64), "backbone": "MobileNetV2", "tap": (8, 8)},
    )  # fmt: skip
    first = model.bijector.bijectors[1]
    for w in first.network.trainable_weights:  # scale and shift of the normalization included
        np.testing.assert_allclose(np.std(w), 0.03, rtol=0.3)
        assert abs(np.mean(w)) < 0.015
    for net in first.bijector.layers:
        assert np.all(net.layers[-1].kernel == 0)
        np.testing.assert_allclose(np.std(net.layers[0].kernel), 0.03, rtol=0.1)


@pytest.mark.parametrize(
    ("shapes", "fields", "message"),
    [
        (((6, 8, 2), (24, 32, 1)), {}, "H and W divisible by 4 for this flow"),
        (((8, 8, 2), (20, 32, 1)), {}, "expected H and W divisible by 8"),
        (
            ((8, 8, 2), (64, 64, 1)),
            {},
            "the features of zhang_features are 16x16; the flow needs 8x8",
        ),
        (((8, 8, 2), (32, 32, 1)), {"keep": (0,)}, "keep: expected 2 values, as there are 2 sec"),
        (((8, 8, 2), (32, 32, 1)), {"strided": ()}, "strided: expected 1 values"),
    ],
)
def test_wrong_fields_are_answered_in_one_line(shapes, fields, message, pairs):
    with pytest.raises(UsageError, match=message) as caught:
        architectures.build("colorization_imagenet", pairs(*shapes), **{**SMALL, **fields})
    assert "\n" not in str(caught.value)
