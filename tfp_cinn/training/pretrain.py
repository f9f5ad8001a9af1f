"""Pretraining of a conditioner."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tfp_cinn import architectures, files, tasks
from tfp_cinn.configs import as_dict
from tfp_cinn.errors import UsageError
from tfp_cinn.networks import color_regressor
from tfp_cinn.workdir import Workdir

__all__ = ["pretrain"]

_SUFFIX = ".weights.h5"


def pretrain(config: Mapping[str, Any], output: str | os.PathLike, epochs: int = 10) -> keras.Model:
    """Train a conditioner to predict an image's colors directly, without a flow.

    Minimizes the mean squared error of `tfp_cinn.networks.color_regressor` on x, ab in CIE Lab
    units or RGB. A flow can then start with the conditioner (`config.model.pretrained`) and freeze
    it (`config.model.conditioner="frozen"`). Uses the config's learning rate, batch size and seed.

    Args:
        config: with the fields of `colorization_config` or `color_digits_config`, a ConfigDict or
            nested dicts.
        output: the file to write the weights of the epoch with the lowest validation error to,
            ending in `.weights.h5`.
        epochs: how often to go through the data.

    Returns:
        The conditioner.

    Raises:
        UsageError: if the config, the data or an argument is unsuitable.
    """
    config, output = as_dict(config), files.user_path(output)
    if not output.name.endswith(_SUFFIX) or output.name == _SUFFIX:
        raise UsageError(f"output: expected a file name that ends in {_SUFFIX}, got {output}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output.parent).close()
    except OSError as error:
        raise UsageError(f"output: {output} can't be written ({error.strerror})") from None
    if epochs < 1:
        raise UsageError(f"epochs: expected at least 1, got {epochs}")
    experiment = tasks.load(config)
    if len(experiment.cond_shape or ()) != 3:
        raise UsageError(
            "config.data.task: expected an experiment whose condition is an image, got "
            f"{experiment.name!r}, whose condition needs no network"
        )
    fields = config["model"]
    if fields.get("conditioner") == "none":
        raise UsageError(
            'config.model.conditioner: expected one to train, got "none", which has no weights'
        )
    fields = fields | {"conditioner": "joint"}
    section = config["train"]
    keras.utils.set_random_seed(section["seed"])
    conditioner = architectures.build(data=experiment, **fields).conditioner
    scales = {name: fields[name] for name in ("mean", "std") if name in fields}
    regressor = color_regressor(conditioner, experiment.image_shape, **scales)
    rmse = keras.metrics.RootMeanSquaredError("rmse")
    regressor.compile(keras.optimizers.Adam(section["learning_rate"]), "mse", metrics=[rmse])
    validation = experiment.validation_batches(section["batch_size"])
    best = keras.callbacks.EarlyStopping(
        "loss" if validation is None else "val_loss", patience=epochs, restore_best_weights=True
    )
    regressor.fit(
        _swapped(experiment.training_batches(section["batch_size"], section["seed"])),
        epochs=epochs,
        steps_per_epoch=section["steps_per_epoch"],
        validation_data=_swapped(validation),
        callbacks=[best, keras.callbacks.TerminateOnNaN()],
        verbose=1 if sys.stdout.isatty() else 2,
    )
    if not math.isfinite(best.best):
        raise UsageError("pretraining diverged; lower config.train.learning_rate")
    with Workdir(output.parent).writing(output.name) as scratch:
        conditioner.save_weights(scratch)
    print(output)
    return conditioner


def _swapped(batches: tf.data.Dataset | None) -> tf.data.Dataset | None:
    return batches and batches.map(lambda x, cond: (cond, x))
