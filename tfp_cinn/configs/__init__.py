"""The fields of an experiment, and the configs that come with the package, a module each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import ml_collections
from ml_collections import config_dict

__all__ = [
    "as_dict",
    "class_images_config",
    "color_digits_config",
    "colorization_config",
    "default_config",
]


def as_dict(config: Mapping[str, Any] | ml_collections.ConfigDict) -> dict[str, Any]:
    """Return a config as nested dicts, with None for unset fields and `~` expanded."""
    if isinstance(config, ml_collections.ConfigDict):
        config = config.to_dict(preserve_field_references=False)
    return {name: _plain(value) for name, value in config.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (Mapping, ml_collections.ConfigDict)):
        return as_dict(value)
    # No text but a path begins so.
    return os.path.expanduser(value) if isinstance(value, str) and value[:1] == "~" else value


def default_config() -> ml_collections.ConfigDict:
    """Return all fields of an experiment, with the values of the paper's minimal MNIST example.

    Numbers: the published reference code of arXiv 1907.02392 (mnist_minimal_example).
    """
    config = ml_collections.ConfigDict(
        {
            "data": {
                "task": "classes",
                "name": "mnist",
                # A folder of IDX files to read instead of data from tensorflow-datasets.
                "idx_dir": config_dict.placeholder(str),
                # Folder of the data of tensorflow-datasets; its own default if None.
                "data_dir": config_dict.placeholder(str),
                "num_validation": 1024,
                # Gaussian noise on training images, in standard deviations of the pixels;
                # 0 for uniform dequantization.
                "noise_std": 0.08,
            },
            "model": {
                "architecture": "dense_glow",
                "blocks": 20,
                "hidden": (512,),
                "clamp": 1.0,
                "clamp_type": "arctan",
                "permutation": "random",
                "act_norm": False,
                "dropout": 0.0,
                # Standard deviation of all initial weights; He-normal kernels if None.
                "init_std": config_dict.placeholder(float),
                # Whether the subnets' output layers start at zero, and the flow at the identity.
                "zero_last": True,
                # Keras dtype policy of the subnets, such as "mixed_bfloat16"; float32 if None.
                "subnet_dtype": config_dict.placeholder(str),
                # The reference's L2 of 1e-5 on all weights.
                "weight_prior": 1e-5,
                # Gray levels to standardize with; the training data's if None.
                "mean": config_dict.placeholder(float),
                "std": config_dict.placeholder(float),
            },
            "train": {
                "epochs": 60,
                # Steps per epoch; all data once if None.
                "steps_per_epoch": config_dict.placeholder(int),
                "batch_size": 256,
                "learning_rate": 5e-4,
                # See tfp_cinn/training/schedule.py.
                "milestones": (20, 40),
                "milestone_decay": 0.1,
                "final_decay": 1.0,
                "warm_up_epochs": 0,
                # Adam's epsilon, and the bound of the gradient's global norm (0 for none).
                "epsilon": 1e-8,
                "clip_norm": 10.0,
                # "recompute" rebuilds activations in the backward pass; see `CINN.compile`.
                "memory": "store",
                # Number of parts of a batch to compute in parallel: the number of cores, for dense
                # subnets on a CPU.
                "shards": 1,
                "seed": 0,
                # Whether to use only deterministic operations: the same bits on every run on the
                # same hardware, but slower on a GPU. Applies to the whole process.
                "deterministic": False,
                # What to do about a batch with a NaN or infinite loss or gradient: "stop" or
                # "skip", and the maximal number skipped in a row.
                "on_nan": "stop",
                "max_skipped": 10,
                # Seconds between checkpoints; two are kept, besides the best epoch's model.
                "checkpoint_seconds": 60.0,
                "keep_checkpoints": 2,
            },
        }
    )
    # So that a config file that misspells one of these fields is told where.
    config.data.lock()
    config.train.lock()
    return config


def class_images_config() -> ml_collections.ConfigDict:
    """Every field of an experiment on images of your own by class, or on a prepared set.

    A small flow for some thousand images of up to 32 x 32 pixels, uniformly dequantized.
    """
    config = default_config()
    config.data = ml_collections.ConfigDict(
        {
            "task": "classes",
            # "folder", of the classes in `folder`, or a set that tensorflow-datasets has prepared.
            "name": "folder",
            "folder": config_dict.placeholder(str),
            "data_dir": config_dict.placeholder(str),
            # Rows and columns that images are brought to; None to leave them.
            "size": config_dict.placeholder(tuple),
            # 1 or 3; if None, 1 for a folder whose images are all gray, else 3.
            "channels": config_dict.placeholder(int),
            # "crop" or "stretch".
            "resize": "crop",
            # Of what has no test set of its own.
            "test_fraction": 0.1,
            # Training images to hold out; a tenth, 1024 at most, if None.
            "num_validation": config_dict.placeholder(int),
            "noise_std": 0.0,
        }
    )
    config.model.blocks = 12
    config.model.hidden = (256,)
    config.model.dropout = 0.1
    config.model.weight_prior = 1e-4
    config.train.batch_size = 64
    config.train.learning_rate = 1e-3
    return config


def colorization_config() -> ml_collections.ConfigDict:
    """Return all fields of a colorization experiment, with the published minimal example's values.

    Numbers: the published reference code of arXiv 1907.02392 (colorization_minimal_example), which
    squeezes whole photographs of bedrooms (LSUN) to 64 x 64 pixels; here they are cropped.
    """
    config = default_config()
    config.data = ml_collections.ConfigDict(
        {
            "task": "colorization",
            # "photos" for the folder, or a data set prepared by tensorflow-datasets.
            "name": "photos",
            "folder": config_dict.placeholder(str),
            "data_dir": config_dict.placeholder(str),
            # Photographs are shrunk by this factor before crops of the size are cut.
            "downscale": 4,
            "size": 64,
            # Rows and columns of ab, which the flow learns.
            "ab_size": 64,
            "validation_fraction": 0.1,
            "test_fraction": 0.1,
            # Gaussian noise on ab, in standard deviations of ab in photographs; the reference's is
            # uniform from 0 to 0.005, with this standard deviation.
            "noise_std": 0.00144,
        }
    )
    # The other fields are the architecture's arguments.
    config.model = ml_collections.ConfigDict(
        {
            "architecture": "colorization_minimal",
            # "joint", or the paper's ablations "frozen" and "none".
            "conditioner": "joint",
            # Weights for the conditioner to start with, of bin/pretrain.py.
            "pretrained": config_dict.placeholder(str),
            "subnet_dtype": config_dict.placeholder(str),
            "weight_prior": 0.0,
        }
    )
    config.train.epochs = 3
    config.train.batch_size = 128
    config.train.learning_rate = 1e-3
    config.train.milestones = (1, 2)
    config.train.clip_norm = 0.0
    return config


def color_digits_config() -> ml_collections.ConfigDict:
    """Every field of an experiment of colored digits, at the values of the paper's color-MNIST.

    Numbers: the published reference code of arXiv 1907.02392 (`colorize` in mnist_cINN).
    """
    config = default_config()
    config.data.task = "color_digits"
    config.data.num_validation = 0
    # Gaussian noise on RGB, which lies in [0, 1].
    config.data.noise_std = 0.15
    # The reference's loss is a sum over the 2352 dimensions, ours a mean: its L2 of 1e-5 and its
    # epsilon of 1e-6 keep their weight.
    config.model = ml_collections.ConfigDict(
        {
            "architecture": "color_mnist",
            "subnet_dtype": config_dict.placeholder(str),
            "weight_prior": 1e-5 / 2352,
        }
    )
    config.train.epsilon = 1e-6 / 2352
    config.train.clip_norm = 0.0
    config.train.batch_size = 512
    config.train.learning_rate = 1e-4
    config.train.epochs = 1441
    config.train.warm_up_epochs = 1
    config.train.milestones = ()
    config.train.final_decay = 0.01
    return config
