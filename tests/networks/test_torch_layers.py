"""Convolutions against their definition in PyTorch, written out in NumPy."""

import keras
import numpy as np
import pytest

from tfp_cinn.networks.torch_layers import batch_norm, conv, conv_transpose, dense


def applied(layer, shape):
    """Input, output and weights of a function of Keras tensors, the weights drawn anew."""
    rng = np.random.RandomState(0)
    image = keras.Input(shape)
    model = keras.Model(image, layer(image))
    model.set_weights([rng.rand(*w.shape) for w in model.weights])
    x = rng.randn(2, *shape).astype("float32")
    return x, model(x).numpy(), [w.numpy() for w in model.weights]


@pytest.mark.parametrize("size", [(5, 8), (6, 7)])
@pytest.mark.parametrize(
    ("kernel_size", "strides", "dilation", "padded"),
    [(3, 1, 1, True), (3, 2, 1, True), (1, 1, 1, True), (3, 1, 2, True), (3, 1, 1, False)],
)
def test_convolution(size, kernel_size, strides, dilation, padded):
    x, y, (w, b) = applied(lambda t: conv(t, 3, kernel_size, strides, dilation, padded), (*size, 2))
    pad = dilation * (kernel_size // 2) if padded else 0
    x = np.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    reach = dilation * (kernel_size - 1)
    assert y.shape[1:] == (
        *((n + 2 * pad - reach - 1) // strides + 1 for n in size), 3
    )  # fmt: skip
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            patch = x[:, i * strides :, j * strides :][:, : reach + 1, : reach + 1]
            expected = np.einsum("nabc,abcd->nd", patch[:, ::dilation, ::dilation], w) + b
            np.testing.assert_allclose(y[:, i, j], expected, rtol=1e-4, atol=1e-5)


def test_transposed_convolution():
    x, y, (w, b) = applied(lambda t: conv_transpose(t, 3, kernel_size=4, strides=2), (3, 2, 5))
    expected = np.zeros((2, 8, 6, 3)) + b
    for i in range(3):
        for j in range(2):
            expected[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += np.einsum(
                "nc,abdc->nabd", x[:, i, j], w
            )
    np.testing.assert_allclose(y, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("layer", "shape", "fan_in"),
    [
        (lambda t: conv(t, 200, 3), (4, 4, 30), 270),
        (lambda t: conv_transpose(t, 50, 4, 2), (4, 4, 90), 16 * 50),
        (lambda t: dense(t, 300), (100,), 100),
    ],
)
def test_starting_weights_are_uniform(layer, shape, fan_in):
    image = keras.Input(shape)
    for w in keras.Model(image, layer(image)).weights:
        bound = fan_in**-0.5
        assert bound * 0.9 < np.abs(w).max() <= bound
        np.testing.assert_allclose(np.std(w), bound / 3**0.5, rtol=0.2)


def test_starting_weights_can_be_normal():
    image = keras.Input((4, 4, 60))
    model = keras.Model(image, batch_norm(conv(image, 500, init_std=0.03), 0.03))
    assert len(model.trainable_weights) == 4
    for w in model.trainable_weights:
        np.testing.assert_allclose(np.std(w), 0.03, rtol=0.15)
    values = [w.numpy() for w in model.trainable_weights]
    assert np.abs(values[1] - values[2]).max() > 0.01  # none repeats another's numbers
