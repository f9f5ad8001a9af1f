"""What `explore` asks of a task, with answers that are good for any x and c."""

from __future__ import annotations

import functools
import itertools
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfp_cinn.distribution import ConditionalTransformedDistribution
from tfp_cinn.errors import UsageError
from tfp_cinn.plots.lines import line_images
from tfp_cinn.tasks.conditions import rows_of, to_labels

__all__ = ["Examples", "Explorable", "joined", "map_condition"]

_BATCH = 100
_CASES = 4
_STDS = 2.5
"""Standard deviations of x from black to middle gray, or from the edge of a line's image."""


class Examples(NamedTuple):
    """Some x with their conditions.

    Attributes:
        x: `[N, *event]`.
        cond: `[N, *cond_shape]`, or a dict of these by part; None for no condition.
        names: what each is called in pictures.
    """

    x: np.ndarray
    cond: Any
    names: Sequence[str]

    def take(self, rows: Any) -> Examples:
        """Return the examples of some rows, a slice or numbers."""
        rows = np.arange(len(self.x))[rows]
        cond = map_condition(lambda part: part[rows], self.cond)
        return Examples(self.x[rows], cond, [self.names[row] for row in rows])


def map_condition(function: Any, cond: Any) -> Any:
    """Apply a function to each part of a condition; None stays None."""
    return None if cond is None else tf.nest.map_structure(function, cond)


def joined(sets: Sequence[Examples]) -> Examples:
    """Return the examples of several sets as one."""
    x, cond, names = zip(*sets, strict=True)
    if cond[0] is not None:
        cond = tf.nest.map_structure(lambda *parts: np.concatenate(parts), *cond)
    else:
        cond = None
    return Examples(np.concatenate(x), cond, list(itertools.chain(*names)))


class Explorable:
    """The part of a `Task` that pictures of the latent space are drawn with."""

    def held_out(self, count: int) -> Examples:
        """Return the first `count` test examples, or as many as there are.

        Raises:
            UsageError: if nothing is held out.
        """
        batches = self.test_batches(_BATCH)
        if batches is None:
            raise UsageError(f"explore: the task {self.name!r} holds out no data to draw")
        parts = []
        for batch in itertools.islice(batches, -(-count // _BATCH)):
            x, cond = batch if isinstance(batch, tuple) else (batch, None)
            parts.append(Examples(x.numpy(), map_condition(np.asarray, cond), ()))
        x, cond, _ = joined(parts)
        return Examples(x, cond, self._names(x, cond)).take(slice(count))

    def _names(self, x: np.ndarray, cond: Any) -> list[str]:
        if self.cond_shape != ():
            return [f"#{row}" for row in range(len(x))]
        classes = self.description.get("class_names")
        return [classes[label] if classes else str(label) for label in cond]

    def cases(
        self, texts: Sequence[str] | None, dist: ConditionalTransformedDistribution
    ) -> Examples:
        """Return the examples that pictures are drawn of.

        Args:
            texts: classes, for a held-out example of each, or conditions as `read_conditions` takes
                them, which x is drawn for; if None, a held-out example of each class, or four.
            dist: what to draw with.

        Raises:
            UsageError: if there is no such condition, or no example of it.
        """
        classes = self.description.get("class_names")
        if texts is None:
            found = self.held_out(10 * _BATCH)
            names = list(dict.fromkeys(found.names))
            chosen = [name for name in classes if name in names] if classes else names[:_CASES]
            return found.take([found.names.index(name) for name in chosen])
        if classes:
            wanted = [classes[label] for label in to_labels(texts, classes)]
            found = self.held_out(100 * _BATCH)
            return found.take(rows_of(found.names, wanted))
        cond = self.read_conditions(texts, dist.cond_shape)
        names = [f"cond {row}" for row in range(len(tf.nest.flatten(cond)[0]))]
        x = dist.sample(cond, seed=0).numpy()
        return Examples(x, cond, names).take(slice(2 * _CASES))

    @functools.cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of x by entry of its last axis."""
        x = self.held_out(10 * _BATCH).x
        axes = tuple(range(x.ndim - 1))
        return x.mean(axis=axes), np.maximum(x.std(axis=axes), 1e-12)

    def show(self, x: np.ndarray, examples: Examples) -> np.ndarray:
        """Return images of x: maps in gray or color, vectors and series as lines.

        Args:
            x: `[..., N, *event]`.
            examples: whose conditions they are under.

        Returns:
            `[..., N, H, W, 1 or 3]`, in [0, 1]; NaN where x is.
        """
        mean, std = self._moments
        x = (x - mean) / std
        if len(self.event_shape) == 1:
            x = x[..., np.newaxis]
        if len(self.event_shape) < 3:
            return line_images(x, -_STDS, _STDS)
        if x.shape[-1] not in (1, 3):  # channels beside each other
            x = np.moveaxis(x, -1, -2)
            x = x.reshape(*x.shape[:-2], -1)[..., np.newaxis]
        return np.clip(0.5 + x / (2 * _STDS), 0, 1)

    def show_conditions(self, examples: Examples) -> np.ndarray | None:
        """Return images of conditions as `show` does of x; None where their names say enough."""
        return None

    def write_transfers(self, x: np.ndarray, cases: Examples, folder: pathlib.Path) -> None:
        """Write transferred x, `[targets, N, *event]`, where the picture doesn't show all of it."""

    def foreign(self, examples: Examples, seed: int) -> dict[str, Examples]:
        """Return sets that the flow wasn't trained on, by name, made of held-out examples."""
        rng = np.random.default_rng(seed)
        x, cond = examples.x, examples.cond
        axes = tuple(range(x.ndim - 1))
        mean, std = x.mean(axis=axes), x.std(axis=axes)
        low, high = x.min(axis=axes), x.max(axis=axes)
        sets = {
            "lowest values": np.broadcast_to(low, x.shape),
            "plain": np.broadcast_to(x.mean(axis=axes[1:] or 0, keepdims=True), x.shape),
            "inverted": 2 * mean - x,
            "entries of different examples": rng.permuted(x, axis=0),
            "Gaussian noise on top": x + std * rng.normal(size=x.shape),
            "uniform noise": rng.uniform(low, high, x.shape),
        }
        if x.ndim == 4:
            sets |= {"mirrored": x[:, :, ::-1], "upside down": x[:, ::-1]}
        found = {name: examples._replace(x=np.float32(each)) for name, each in sets.items()}
        if cond is None:
            return found
        if self.cond_shape == ():
            count = int(cond.max()) + 1
            wrong = (cond + rng.integers(1, max(count, 2), len(cond))) % count
            return {"wrong class": examples._replace(cond=wrong.astype(cond.dtype))} | found
        others = map_condition(lambda part: np.roll(part, len(part) // 2, axis=0), cond)
        return {"another example's condition": examples._replace(cond=others)} | found
