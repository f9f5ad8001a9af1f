"""Drawing samples, by the model of a run or by an export alike."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from tfp_cinn.bijectors.shapes import Shape
from tfp_cinn.latent.noise import noise
from tfp_cinn.model import CINN
from tfp_cinn.tasks.conditions import num_conditions

__all__ = ["ModelSampler", "Sampler", "sample_seeds"]

_ROWS = 250  # of a batch


class Sampler(abc.ABC):
    """Draws x for conditions.

    A sample depends on the seed, its condition and its number alone, up to rounding: not on the
    other conditions, nor on who draws it.

    Attributes:
        event_shape: shape of one x.
        cond_shape: as `tfp_cinn.CINN.cond_shape`.
    """

    event_shape: Shape
    cond_shape: Any

    @abc.abstractmethod
    def sample(
        self, cond: Any, num_samples: int, temperature: float, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return x `[num_samples, conditions, *event]`, and log p(x | c) in nats.

        Args:
            cond: conditions stacked along a first axis; None for a model without.
            num_samples: samples of each.
            temperature: factor on the latents.
            seed: an integer from 0.
        """

    @abc.abstractmethod
    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answer a request of one of the task's own signatures; dimension 0 is the batch."""


class ModelSampler(Sampler):
    """Draws with a model.

    Args:
        model: the model.
        task: answers its own signatures, each by the method of that name.
    """

    def __init__(self, model: CINN, task: Any = None):
        self.event_shape, self.cond_shape = model.event_shape, model.cond_shape
        self._model, self._task = model, task

    def sample(
        self, cond: Any, num_samples: int, temperature: float, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Sampler.sample`."""
        x = self.draw(cond, num_samples, temperature, seed)
        log_prob = np.empty(x.shape[:2], x.dtype)
        for place in _batches(x, "log p"):
            log_prob[place] = self._model.distribution.log_prob(x[place], _rows(cond, place[1]))
        return x, log_prob

    def draw(self, cond: Any, num_samples: int, temperature: float, seed: int) -> np.ndarray:
        """Return the x of `sample`, without their log-densities."""
        dist, latent_shape = self._model.distribution, self._model.bijector.latent_shape
        shape = (num_samples, num_conditions(cond), *self.event_shape)
        x = np.empty(shape, dist.dtype.as_numpy_dtype)
        seeds = sample_seeds(seed, cond, num_samples)
        for place in _batches(x, "sample"):
            pairs = seeds[place]
            z = _noise(pairs.reshape(-1, 2), latent_shape, dist.dtype.name)
            z = temperature * tf.reshape(z, [*pairs.shape[:2], *latent_shape])
            x[place] = dist.decode(z, _rows(cond, place[1]))
        return x

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Sampler.predict`."""
        return getattr(self._task, signature)(self._model, **inputs)


_noise = tf.function(noise, reduce_retracing=True)


def _batches(x: np.ndarray, words: str) -> Iterable[tuple[slice, slice]]:
    """Return the places of batches in x, with a progress bar.

    The conditioner runs once for all samples of a condition in a batch.
    """
    num_samples, count = x.shape[:2]
    tall = min(num_samples, _ROWS)
    wide = max(1, _ROWS // tall)
    places = [
        (slice(top, top + tall), slice(left, left + wide))
        for top in range(0, num_samples, tall)
        for left in range(0, count, wide)
    ]
    return tqdm.tqdm(places, words, leave=False, disable=None)


def _rows(cond: Any, rows: slice) -> Any:
    if isinstance(cond, Mapping):
        return {key: part[rows] for key, part in cond.items()}
    return None if cond is None else cond[rows]


def sample_seeds(seed: int, cond: Any, num_samples: int) -> np.ndarray:
    """Return a pair of integers for each sample, int32 `[num_samples, conditions, 2]`."""
    keys = _keys(cond)
    pairs = [
        [np.random.SeedSequence([seed, *key, number]).generate_state(2) for key in keys]
        for number in range(num_samples)
    ]
    return np.array(pairs, np.uint32).view(np.int32)


def _keys(cond: Any) -> list[list[int]]:
    """Return integers that tell conditions apart."""
    if cond is None:
        return [[0]]
    if isinstance(cond, np.ndarray) and cond.ndim == 1:
        return [[int(label)] for label in cond]
    parts = (
        [cond[key] for key in sorted(cond, key=str.lower)] if isinstance(cond, Mapping) else [cond]
    )
    rows = zip(*(np.asarray(part, np.float32) for part in parts), strict=True)
    hashes = (hashlib.sha256(b"".join(part.tobytes() for part in row)) for row in rows)
    return [np.frombuffer(each.digest()[:16], np.uint32).tolist() for each in hashes]
