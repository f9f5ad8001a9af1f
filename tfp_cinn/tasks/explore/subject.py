"""What exploring needs to know of a run, whatever its kind."""

from __future__ import annotations

import abc
import functools
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfp_cinn import latent
from tfp_cinn.distribution import ConditionalTransformedDistribution
from tfp_cinn.model import CINN

__all__ = ["Examples", "Scores", "Subject", "batched"]

_BATCH = 100


class Examples(NamedTuple):
    """Some examples.

    Attributes:
        x: `[N, *event]`.
        cond: `[N, *cond_shape]`; None where nothing says which.
        names: of each.
        canvas: what each is drawn on, if that isn't the condition.
    """

    x: np.ndarray
    cond: np.ndarray | None
    names: Sequence[str]
    canvas: Any = None

    def take(self, rows: Any) -> Examples:
        """The examples of some rows, a slice or numbers."""
        numbers = np.arange(len(self.x))[rows]
        return Examples(
            self.x[numbers],
            None if self.cond is None else self.cond[numbers],
            [self.names[n] for n in numbers],
            self.canvas and [self.canvas[n] for n in numbers],
        )


class Scores(NamedTuple):
    """Of each example, `[N]`: nats/dim, and |z|^2 / D."""

    nats_per_dim: np.ndarray
    square: np.ndarray


class Subject(abc.ABC):
    """A run's model with its data, as the tools of `bin/explore.py` see them.

    Args:
        model: the run's.

    Attributes:
        tools: names of those that make sense for the kind.
        style: what a condition leaves open.
    """

    style = "Style"

    tools: tuple[str, ...] = (
        "interpolation",
        "transfer",
        "temperature",
        "walks",
        "likelihood",
        "foreign",
    )

    def __init__(self, model: CINN):
        self.model = model

    @abc.abstractmethod
    def cases(self, cond: Sequence[str] | None) -> Examples:
        """What pictures are drawn of: held-out examples of the wanted conditions.

        Args:
            cond: as the user names them; a choice if None.

        Raises:
            UsageError: if there is no such condition.
        """

    @abc.abstractmethod
    def held_out(self, count: int) -> Examples:
        """Up to `count` test examples, with the noise that their likelihood is measured with."""

    @abc.abstractmethod
    def foreign(self, examples: Examples, seed: int) -> dict[str, Examples]:
        """Sets that the flow wasn't trained on, by name, made of held-out examples.

        Where their `cond` is None, no condition is theirs, and scores are without one.
        """

    @abc.abstractmethod
    def shown(self, x: np.ndarray, examples: Examples, exact: bool = False) -> np.ndarray:
        """Images of x.

        Args:
            x: `[..., N, *event]`.
            examples: those that they are under the conditions of.
            exact: whether to show x as it is, where samples are made smoother.

        Returns:
            `[..., N, H, W, 1 or 3]`, in [0, 1].
        """

    def targets(self, cases: Examples) -> Examples:
        """Conditions that styles are carried to."""
        return cases

    def conditions_shown(self, examples: Examples) -> np.ndarray | None:
        """Images `[N, H, W, 1 or 3]` of conditions; None if these are but names."""
        return None

    def write_transfers(
        self, x: np.ndarray, cases: Examples, folder: pathlib.Path
    ) -> list[pathlib.Path]:
        """Writes transferred x `[targets, N, *event]` in full; nothing where pictures show all."""
        return []

    @property
    def dist(self) -> ConditionalTransformedDistribution:
        """The model's distribution."""
        return self.model.distribution

    @property
    def dimensions(self) -> int:
        """D."""
        return math.prod(self.model.event_shape)

    @functools.cached_property
    def decode(self):
        """`dist.decode`, traced, of one shape of latents: `[N, D]`."""
        shape = self.dist.bijector.latent_shape
        return tf.function(
            lambda z, cond: self.dist.decode(
                tf.reshape(z, tf.concat([tf.shape(z)[:1], shape], axis=0)), cond
            )
        )

    def decoded(self, z: np.ndarray, cond: np.ndarray) -> np.ndarray:
        """Returns x `[*path, N, *event]` of latents `[*path, D]`, each under N conditions."""
        flat = np.float32(z).reshape(-1, 1, z.shape[-1])
        cond = tf.convert_to_tensor(cond)
        # One by one: the features of a colorization network are large.
        parts = [self.decode(tf.repeat(each, len(cond), axis=0), cond).numpy() for each in flat]
        return np.stack(parts).reshape(*z.shape[:-1], *parts[0].shape)

    def scores(self, examples: Examples) -> Scores:
        """How likely examples are under their conditions, and how far out their latents."""
        batches = batched(examples.x, examples.cond)
        z = latent.latents(self.dist, batches).astype(np.float64)
        return Scores(latent.rank(self.dist, batches).nats_per_dim, (z**2).mean(axis=1))


def batched(*arrays: np.ndarray) -> tf.data.Dataset:
    """Rows of arrays in batches."""
    return tf.data.Dataset.from_tensor_slices(arrays).batch(_BATCH)
