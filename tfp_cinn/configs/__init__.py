"""The fields of a config, and the configs that come with the package, a module each."""

from __future__ import annotations

import dataclasses
import difflib
import os
import typing
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections
from ml_collections import config_dict

from tfp_cinn.errors import UsageError

__all__ = [
    "TrainConfig",
    "as_dict",
    "class_images_config",
    "color_digits_config",
    "colorization_config",
    "default_config",
    "flat",
]


def _checked(default: Any, expected: str, is_good: Callable[[Any], bool]) -> Any:
    """Return a field of a dataclass that knows its values; a default of None is one of them."""
    if default is None:
        expected, is_value = f"{expected}, or None", is_good
        is_good = lambda value: value is None or is_value(value)  # noqa: E731
    return dataclasses.field(default=default, metadata={"expected": expected, "is_good": is_good})


def _whole(default: int | None, low: int = 1, high: int = 1 << 53) -> Any:
    return _checked(
        default,
        f"at least {low}" if high == 1 << 53 else f"{low} to {high}",
        lambda value: type(value) is int and low <= value <= high,
    )


def _number(default: float, above: float | None = 0.0, most: float = 1e300) -> Any:
    """Return a field of more than `above`, or of 0 or more if that is None, up to `most`."""
    low = "0 or more" if above is None else f"more than {above:g}"
    return _checked(
        default,
        low if most == 1e300 else f"{low}, at most {most:g}",
        lambda value: (
            type(value) in (int, float)
            and (0 if above is None else above) <= value <= most
            and value != above
        ),
    )


def _one_of(*values: Any) -> Any:
    """Return a field of one of these values, by default the first."""
    return _checked(values[0], " or ".join(map(repr, values)), lambda value: value in values)


def _are_epochs(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(type(v) is int and v >= 0 for v in value)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    r"""How to train: the `train` section of a config.

    The learning rate of an epoch, counted from 0, is

        learning_rate * milestone_decay^(milestones passed) * final_decay^(epoch / epochs)

    and 0.02 `learning_rate` in the first `warm_up_epochs`, as in the reference code of the paper's
    MNIST experiment.

    Raises:
        UsageError: names the field at fault, what was expected, and what it got.
    """

    epochs: int = _whole(60)
    # All data once if None.
    steps_per_epoch: int | None = _whole(None)
    batch_size: int = _whole(256)
    learning_rate: float = _number(5e-4)
    milestones: tuple[int, ...] = _checked((20, 40), "epochs, such as (20, 40)", _are_epochs)
    milestone_decay: float = _number(0.1, most=1.0)
    final_decay: float = _number(1.0, most=1.0)
    warm_up_epochs: int = _whole(0, low=0)
    # Stop after so many epochs without a better validation likelihood; never if None.
    patience: int | None = _whole(None)
    # Adam's epsilon, and the bound of the gradient's global norm (0 for none).
    epsilon: float = _number(1e-8)
    clip_norm: float = _number(10.0, above=None)
    # "recompute" rebuilds activations in the backward pass; see `CINN.compile`.
    memory: str = _one_of("store", "recompute")
    # Number of parts of a batch to compute in parallel: the number of cores, for dense subnets on
    # a CPU.
    shards: int = _whole(1)
    seed: int = _whole(0, low=0, high=2**32 - 1)
    # Whether to use only deterministic operations: the same bits on every run on the same
    # hardware, but slower on a GPU. Applies to the whole process.
    deterministic: bool = _one_of(False, True)
    # Seconds between checkpoints.
    checkpoint_seconds: float = _number(60.0, above=None)

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> TrainConfig:
        """Return the config of a section; fields that it lacks have their defaults."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in section:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(known)}"
                raise UsageError(f"config.train.{name}: no such field; {hint}")
        return cls(**section)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not field.metadata["is_good"](value):
                shown = " ".join(repr(value).split())[:100]
                raise UsageError(
                    f"config.train.{field.name}: expected {field.metadata['expected']}, got {shown}"
                )

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        if epoch < self.warm_up_epochs:
            return 0.02 * self.learning_rate
        passed = sum(epoch >= milestone for milestone in self.milestones)
        done = (epoch - self.warm_up_epochs) / self.epochs
        return self.learning_rate * self.milestone_decay**passed * self.final_decay**done


def _fields_of(section: type) -> dict[str, Any]:
    """Return the defaults of a dataclass; those that are None as placeholders of their type."""
    types = typing.get_type_hints(section)
    return {
        field.name: config_dict.placeholder(typing.get_args(types[field.name])[0])
        if field.default is None
        else field.default
        for field in dataclasses.fields(section)
    }


def as_dict(config: Mapping[str, Any] | ml_collections.ConfigDict) -> dict[str, Any]:
    """Return a config as nested dicts, with None for unset fields and `~` expanded."""
    if isinstance(config, ml_collections.ConfigDict):
        config = config.to_dict(preserve_field_references=False)
    fields = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            value = as_dict(value)
        elif isinstance(value, str) and value.startswith("~"):  # no text but a path does
            value = os.path.expanduser(value)
        fields[name] = value
    return fields


def flat(config: Mapping[str, Any] | ml_collections.ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Return a config as one dict, its fields named as on the command line: `train.epochs`."""
    fields = {}
    for name, value in as_dict(config).items():
        fields |= (
            flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        )
    return fields


def default_config() -> ml_collections.ConfigDict:
    """Return a config with every field, at the values of the paper's minimal MNIST example.

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
            "train": _fields_of(TrainConfig),
        }
    )
    # So that a config file that misspells one of these fields is told where.
    config.data.lock()
    config.train.lock()
    return config


def class_images_config() -> ml_collections.ConfigDict:
    """Return a config for images of your own by class, or for a prepared set.

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
    """Return a config for colorization, at the values of the published minimal example.

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
    """Return a config for colored digits, at the values of the paper's color-MNIST.

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
