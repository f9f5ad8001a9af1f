"""The fields of an experiment."""

from __future__ import annotations

import ml_collections
from ml_collections import config_dict

__all__ = ["class_images_config", "color_digits_config", "colorization_config", "default_config"]


def default_config() -> ml_collections.ConfigDict:
    """Every field of an experiment, at the values of the paper's minimal MNIST example.

    Numbers: the published reference code of arXiv 1907.02392 (mnist_minimal_example).
    """
    return ml_collections.ConfigDict(
        {
            "data": {
                "kind": "classes",
                "name": "mnist",
                # A folder of IDX files to read instead of what tensorflow-datasets prepared.
                "idx_dir": config_dict.placeholder(str),
                # Where tensorflow-datasets keeps its data; its own default if None.
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
                # Standard deviation of all starting weights; He-normal kernels if None.
                "init_std": config_dict.placeholder(float),
                # Whether subnets start with an output layer of zeros: the flow as the identity.
                "zero_last": True,
                # Keras dtype policy of the subnets, such as "mixed_bfloat16"; float32 if None.
                "subnet_dtype": config_dict.placeholder(str),
                # The reference's L2 of 1e-5 on all weights.
                "weight_prior": 1e-5,
                # Gray levels to standardize with; those of the training data if None.
                "mean": config_dict.placeholder(float),
                "std": config_dict.placeholder(float),
            },
            "train": {
                "epochs": 60,
                # Steps that count as an epoch; all data once if None.
                "steps_per_epoch": config_dict.placeholder(int),
                "batch_size": 256,
                "learning_rate": 5e-4,
                # See tfp_cinn/training/schedule.py.
                "milestones": (20, 40),
                "milestone_decay": 0.1,
                "final_decay": 1.0,
                "warm_up_epochs": 0,
                # Adam's epsilon, and the bound of the gradient's global norm, 0 for none.
                "epsilon": 1e-8,
                "clip_norm": 10.0,
                # "recompute" rebuilds activations in the backward pass; see `CINN.compile`.
                "memory": "store",
                # Into how many parts a batch is cut, which are computed side by side: as many as
                # cores, for dense subnets on a CPU.
                "shards": 1,
                "seed": 0,
                # Whether to use deterministic operations alone: the same bits on every run with the
                # same hardware, on a GPU at the price of speed. Holds for the whole process.
                "deterministic": False,
                # What to do about a batch with a NaN or infinite loss or gradient: "stop", or
                # "skip" it, but no more than so many in a row.
                "on_nan": "stop",
                "max_skipped": 10,
                # Seconds between checkpoints; two are kept, beside the best epoch's model.
                "checkpoint_seconds": 60.0,
                "keep_checkpoints": 2,
            },
        }
    )


def class_images_config() -> ml_collections.ConfigDict:
    """Every field of an experiment on images of your own by class, or on a prepared set.

    A small flow for some thousand images of up to 32 x 32 pixels, uniformly dequantized.
    """
    config = default_config()
    config.data = ml_collections.ConfigDict(
        {
            "kind": "classes",
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
    """Every field of a colorization experiment, at the values of the published minimal example.

    Numbers: the published reference code of arXiv 1907.02392 (colorization_minimal_example), which
    squeezes whole photographs of bedrooms (LSUN) to 64 x 64 pixels; here are crops of them.
    """
    config = default_config()
    config.data = ml_collections.ConfigDict(
        {
            "kind": "colorization",
            # "photos", of the folder, or a set that tensorflow-datasets has prepared.
            "name": "photos",
            "folder": config_dict.placeholder(str),
            "data_dir": config_dict.placeholder(str),
            # Photographs are averaged over this many pixels each way before crops of size are cut.
            "downscale": 4,
            "size": 64,
            # Rows and columns of ab, which the flow learns.
            "ab_size": 64,
            "validation_fraction": 0.1,
            "test_fraction": 0.1,
            # Gaussian noise on ab, in standard deviations of ab in photographs; the reference's is
            # uniform from 0 to 0.005, of this standard deviation.
            "noise_std": 0.00144,
        }
    )
    # Further fields are the architecture's arguments.
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
    config.data.kind = "color_digits"
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
