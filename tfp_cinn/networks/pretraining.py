"""Pretraining a conditioner, and loading its weights."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import h5py
import keras
import numpy as np

from tfp_cinn.errors import UsageError
from tfp_cinn.networks.torch_layers import LEAKY_SLOPE, conv, dense

__all__ = ["color_regressor", "load_weights"]


def color_regressor(
    conditioner: keras.Model,
    image_shape: Sequence[int],
    mean: float | Sequence[float] = (2.4, 7.4),
    std: float | Sequence[float] = (11.2, 16.8),
) -> keras.Model:
    r"""Make a model that predicts x from c, to pretrain a conditioner.

    With the conditioner's features h_k, maps or vectors:

        x = mean + std * sum_k enlarged(linear_k(leaky_relu(h_k(c))))

    Each map is brought to the resolution of x bilinearly and each vector is repeated over space, so
    every feature is trained. Fit it like any Keras model, on (c, x) instead of a flow's (x, c):

        regressor = color_regressor(conditioner, data.image_shape)
        regressor.compile("adam", "mse")
        regressor.fit(batches.map(lambda x, c: (c, x)), epochs=3)
        conditioner.save_weights("conditioner.weights.h5")    # for load_weights

    The conditioner is trained in place; mean and std of x are numbers, or one for each channel.

    Returns:
        A model from conditions to x, `[N, *image_shape]`.

    Raises:
        UsageError: if there are more or fewer means or standard deviations than channels.
    """
    height, width, channels = image_shape
    if any(np.shape(value) not in ((), (channels,)) for value in (mean, std)):
        raise UsageError(
            f"mean, std: expected a number or one for each of {channels} channels, got {mean} and "
            f"{std}"
        )
    image = keras.Input(conditioner.input_shape[1:], name="image")
    terms = []
    for feature in keras.tree.flatten(conditioner(image)):
        x = keras.layers.LeakyReLU(LEAKY_SLOPE)(feature)
        if len(x.shape) == 2:
            terms.append(keras.layers.Reshape((1, 1, channels))(dense(x, channels)))
        else:
            x = conv(x, channels, kernel_size=1)
            terms.append(keras.layers.Resizing(height, width, interpolation="bilinear")(x))
    total = keras.layers.Add()(terms) if len(terms) > 1 else terms[0]
    if total.shape[1:3] != (height, width):  # if all features are vectors
        total = keras.layers.UpSampling2D((height, width))(total)
    scaled = keras.layers.Rescaling(std, mean)(total)
    return keras.Model(image, scaled, name="color_regressor")


def load_weights(network: keras.Model, path: str | os.PathLike) -> None:
    """Load the weights that `network.save_weights(path)` or `network.save(path)` wrote.

    Raises:
        UsageError: if the file doesn't exist or doesn't hold exactly the weights of the network.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise UsageError(f"{path}: no such weights file")
    try:
        if path.endswith(".keras"):
            network.set_weights(keras.saving.load_model(path, compile=False).get_weights())
            return
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns of missing layers
            network.load_weights(path)
        with h5py.File(path) as file:
            found = []
            file.visititems(lambda _, item: found.append(item) if hasattr(item, "dtype") else None)
        if len(found) != len(network.weights):
            raise ValueError(f"{len(found)} weights, not {len(network.weights)}")
    except Exception as error:  # Keras raises many kinds for unsuitable files
        reason = " ".join(str(error).split())
        reason = reason if len(reason) <= 160 else f"{reason[:157]}..."
        raise UsageError(
            f"{path}: expected the weights of a {network.name} of the same widths, as its "
            f"save_weights writes them in a .weights.h5 file ({reason})"
        ) from error
