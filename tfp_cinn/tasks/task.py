"""What a data set is to a flow."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfp_cinn.bijectors.shapes import Shape
from tfp_cinn.model import CINN
from tfp_cinn.workdir import Workdir

__all__ = ["Experiment"]


class Experiment(abc.ABC):
    """A data set with what a flow learns of it: which part is x, which is the condition.

    Architectures are built for one; training, pictures and later programs go through one.

    Attributes:
        kind: name of the kind of experiment, kept in a run's `dataset.json`.
    """

    kind: str

    @classmethod
    @abc.abstractmethod
    def without_data(cls, section: Mapping[str, Any], model: Mapping[str, Any]) -> Experiment:
        """What is known of an experiment without its data: shapes and facts.

        Args:
            section: the config's `data`.
            model: the config's `model`.

        Raises:
            UsageError: if a field doesn't serve.
        """

    @property
    @abc.abstractmethod
    def image_shape(self) -> Shape:
        """Shape of one x, `(H, W, C)`."""

    @property
    @abc.abstractmethod
    def cond_shape(self) -> Any:
        """Shape of one condition; `()` for a label."""

    @property
    @abc.abstractmethod
    def facts(self) -> dict[str, Any]:
        """What later programs need to know of the data, for JSON; `name` among it."""

    @abc.abstractmethod
    def training_batches(
        self, batch_size: int, seed: int, epoch: int | tf.Tensor | None = None
    ) -> tf.data.Dataset:
        """Batches `(x, cond)` of one epoch, a function of the seed and the epoch's number alone.

        Args:
            batch_size: examples a batch.
            seed: of order and noise.
            epoch: counted from 0, an int64 tensor where the trainer chains epochs; if None, each
                iteration is the next one.

        Raises:
            UsageError: if the batch is larger than an epoch.
        """

    @abc.abstractmethod
    def validation_batches(self, batch_size: int) -> tf.data.Dataset | None:
        """Held-out batches `(x, cond)`, the same each time; None if nothing is held out."""

    @abc.abstractmethod
    def draw_samples(self, model: CINN, workdir: Workdir) -> None:
        """Writes `samples.png` into the workdir, of the same latents each time."""
