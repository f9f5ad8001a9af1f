"""What holds of every flow that is given an image, each made small; images are synthetic."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_cinn import UsageError, architectures, load_model, networks

SMALL = {
    "colorization_minimal": (
        ((8, 8, 2), (8, 8, 1)),
        {
            "blocks": (1, 2, 2, 1), "widths": (6, 6, 6, 8), "vector": 5,
            "levels": ((4, 4), (5, 5), (6,)), "init_std": None, "zero_last": True,
        },
    ),
    "colorization_imagenet": (
        ((8, 8, 2), (32, 32, 1)),
        {
            "blocks": (1, 1), "widths": (4, 6), "mixing_widths": (4, 6), "keep": (0, 5),
            "strided": (5,), "dense_blocks": 2, "dense_hidden": (8,), "dense_strided": (5, 6),
            "backbone_width": 1, "init_std": 0.1,
        },
    ),
    "color_mnist": (
        ((8, 8, 3), (8, 8, 1)),
        {
            "conv_blocks": 1, "conv_hidden": (4, 4), "dense_blocks": 2, "dense_hidden": (8,),
            "cond_width": 4, "cond_channels": (2, 3, 4, 4), "cond_hidden": (6,), "padded": True,
            "init_std": 0.1, "mean": 5.0, "std": 10.0, "cond_mean": 50.0, "cond_std": 25.0,
        },
    ),
}  # fmt: skip
CONDITIONERS = architectures.conditioning.CONDITIONERS
# The deepest by far; make test has the other two.
MADE = [
    pytest.param(name, marks=pytest.mark.long) if name == "colorization_imagenet" else name
    for name in SMALL
]


def made(name, pairs, conditioner="joint", **fields):
    shapes, small = SMALL[name]
    data = pairs(*shapes)
    model = architectures.build(name, data, conditioner=conditioner, **{**small, **fields})
    return model, data


def trained(model, x, cond, steps=3):
    """Loss before each step, on one batch, with the model trained in place."""
    # Not as a graph: tracing takes longer than these steps.
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)
    losses = []
    for _ in range(steps):
        model.reset_metrics()
        losses.append(float(model.train_step((tf.constant(x), tf.constant(cond)))["loss"]))
    return losses


@pytest.mark.parametrize("conditioner", CONDITIONERS)
@pytest.mark.parametrize("name", MADE)
def test_it_learns_with_the_weights_that_are_to_be_trained(name, conditioner, pairs):
    model, data = made(name, pairs, conditioner)
    x, cond = data.batch(12)
    before = model.conditioner.get_weights()
    assert bool(model.conditioner.trainable_weights) == (conditioner == "joint")
    losses = trained(model, x, cond)
    assert losses[1] < losses[0]
    assert losses[-1] < losses[0] - 0.05
    pairs_of_weights = zip(model.conditioner.weights, before, strict=True)
    moved = [np.any(w != old) for w, old in pairs_of_weights]
    # Averages of batch normalization as well.
    assert all(moved) if conditioner == "joint" else not any(moved)


def take_averages(model, x, cond):
    """Gives all batch normalizations the averages of this batch, as after some training."""

    def normalizations(layer):
        if isinstance(layer, keras.layers.BatchNormalization):
            yield layer
        for inner in getattr(layer, "layers", ()):
            yield from normalizations(inner)

    frozen, model.conditioner.trainable = not model.conditioner.trainable, True
    found = list(normalizations(model))
    for layer in found:
        layer.momentum = 0.0
    model((x, cond), training=True)
    for layer in found:
        layer.momentum = 0.9
    model.conditioner.trainable = not frozen


@pytest.mark.parametrize("conditioner", ["joint", "none"])
@pytest.mark.parametrize("name", MADE)
def test_round_trip_and_condition(name, conditioner, pairs, perturb):
    model, data = made(name, pairs, conditioner)
    perturb([model], std=0.1)
    take_averages(model, *data.batch(12))
    x, cond = data.batch(5)
    dist = model.distribution
    z = dist.encode(x, cond)
    again = dist.decode(z, cond)
    assert np.abs(again - x).max() < 1e-4 * x.std()
    assert np.abs(dist.encode(again, cond) - z).max() < 1e-4 * np.std(z)
    sample = dist.sample(cond, sample_shape=2, seed=1)
    assert sample.shape == (2, *x.shape)
    other = dist.sample(cond[::-1], sample_shape=2, seed=1)
    assert np.abs(other - sample)[:, [0, 4]].max() > 1e-2 * np.std(sample)
    assert np.abs(dist.log_prob(x, cond[::-1]) - dist.log_prob(x, cond))[[0, 4]].min() > 1e-2
    # To rounding, no row sees another.
    alone = dist.log_prob(x[2], cond[2])
    np.testing.assert_allclose(dist.log_prob(x, cond)[2], alone, rtol=1e-4)


def test_a_lightness_that_is_not_finite_spoils_its_row_alone(pairs):
    model, data = made("colorization_minimal", pairs)
    x, cond = data.batch(3)
    good = model.distribution.log_prob(x, cond)
    for value in (np.nan, np.inf):
        cond[1, 3, 4] = value
        # In graphs as well, where TensorFlow's fused convolution and ReLU turns NaN into 0.
        for log_prob in (model.distribution.log_prob, tf.function(model.distribution.log_prob)):
            got = log_prob(x, cond).numpy()
            assert np.isnan(got[1])
            np.testing.assert_allclose(got[[0, 2]], np.asarray(good)[[0, 2]], rtol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_latent_scales_cover_z(name, pairs):
    model, _ = made(name, pairs)
    scales = [tuple(s) for s in model.bijector.latent_scales]
    expected = {
        "colorization_minimal": [(0, 96, (4, 4, 6)), (96, 112, (2, 2, 4)), (112, 128, (16,))],
        "colorization_imagenet": [(0, 108, (2, 2, 27)), (108, 128, (20,))],
        "color_mnist": [(0, 192, (192,))],
    }
    assert scales == expected[name]


@pytest.mark.parametrize("name", MADE)
def test_a_loaded_model_is_the_same(name, pairs, perturb, tmp_path):
    model, data = made(name, pairs, "frozen")
    perturb([model], std=0.1)
    x, cond = data.batch(3)
    trained(model, x, cond, steps=1)  # so that batch normalization has averages
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    expected = model.distribution.log_prob(x, cond)
    np.testing.assert_array_equal(loaded.distribution.log_prob(x, cond), expected)
    assert len(loaded.trainable_weights) == len(model.trainable_weights)


def test_a_conditioner_trained_by_itself_is_put_to_use(pairs, tmp_path, name="color_mnist"):
    first, data = made(name, pairs)
    x, cond = data.batch(4)
    regressor = networks.color_regressor(first.conditioner, data.image_shape, 5.0, 10.0)
    regressor.compile("adam", "mse", run_eagerly=True)
    regressor.fit(cond, x, verbose=0)
    path = str(tmp_path / "conditioner.weights.h5")
    first.conditioner.save_weights(path)
    for how in ("joint", "frozen"):
        model, _ = made(name, pairs, how, pretrained=path)
        features, expected = (
            keras.tree.flatten(m.distribution.features(cond)) for m in (model, first)
        )
        for a, b in zip(features, expected, strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(UsageError, match="expected the weights of a"):
        made(name, pairs, pretrained=path, cond_width=5)
    with pytest.raises(UsageError, match='pretrained: expected none with conditioner="none"'):
        made(name, pairs, "none", pretrained=path)


def test_a_data_set_without_image_pairs_is_refused(pairs, name="colorization_minimal"):
    for data in (pairs((8, 8, 2), ()), pairs((8,), (8, 8, 1)), object()):
        with pytest.raises(UsageError, match="expected pairs of images") as caught:
            architectures.build(name, data)
        assert "\n" not in str(caught.value)


def test_wrong_fields_are_answered_in_one_line(pairs, name="color_mnist"):
    for fields, message in (
        ({"conditioner": "both"}, "conditioner: expected one of joint, frozen, none, got 'both'"),
        ({"depth": 3}, "config.model.depth: .* has no such argument"),
        ({"pretrained": "no.weights.h5"}, "no.weights.h5: no such weights file"),
        ({"clamp": -1.0}, "clamp: expected a positive"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            made(name, pairs, **fields)
        assert "\n" not in str(caught.value)
