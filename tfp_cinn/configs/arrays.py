"""Anybody's own x and c: --config.data.train=mine.npz, or .csv, or data.x and data.cond as .npy."""

import ml_collections
from ml_collections import config_dict

from tfp_cinn.configs import default_config


def get_config():
    """Return the config."""
    placeholder = config_dict.placeholder
    config = default_config()
    config.data = ml_collections.ConfigDict(
        {
            "task": "arrays",
            # An .npz file with x and cond or cond_NAME, or a .csv file.
            "train": placeholder(str),
            "x_columns": (),
            "cond_columns": (),
            # Or .npy files, read as memory maps.
            "x": placeholder(str),
            "cond": placeholder(str),
            # Files of their own, or fractions of the rows.
            "validation": placeholder(str),
            "test": placeholder(str),
            "validation_fraction": 0.05,
            "test_fraction": 0.05,
            # (low, high) of x, or such a pair for each column; None is open.
            "bounds": placeholder(tuple),
            # Whether NaN in a condition means that the entry is missing.
            "missing": False,
            # Parts [N, M, D] of the condition that are sets of points: their order doesn't matter.
            "sets": placeholder(tuple),
            # Pairs of a simulator that count as an epoch.
            "simulations": 20_000,
        }
    )
    # What is None is chosen by the shapes of x and of the condition.
    config.model = ml_collections.ConfigDict(
        {
            "architecture": "from_shapes",
            "flow": placeholder(str),
            "blocks": placeholder(int),
            "hidden": placeholder(tuple),
            "activation": "silu",
            "dropout": 0.0,
            "clamp": 2.0,
            "features": 64,
            "summary": placeholder(str),
            "ensemble": 1,
            "weight_prior": 2e-4,
        }
    )
    # At most 6000 steps, however many pairs there are: with few, an epoch is several passes.
    config.train.epochs = 60
    config.train.steps_per_epoch = 100
    # The best epoch's weights are kept, by the held-out rows.
    config.train.patience = 15
    config.train.learning_rate = 1e-3
    config.train.milestones = ()
    config.train.final_decay = 0.01
    return config
