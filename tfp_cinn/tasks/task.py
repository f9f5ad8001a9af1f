"""The class `Task`: what x and c are in a problem, and what the programs need to know of it."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from tfp_cinn import architectures
from tfp_cinn.bijectors.shapes import Shape
from tfp_cinn.errors import UsageError
from tfp_cinn.files import writing
from tfp_cinn.memory import check_room
from tfp_cinn.metrics.condition_range import condition_distances, describe_far, measure_range
from tfp_cinn.metrics.figure import Figure
from tfp_cinn.metrics.latents import latent_moments
from tfp_cinn.metrics.likelihood import likelihood
from tfp_cinn.model import CINN
from tfp_cinn.tasks.conditions import num_conditions, read_conditions
from tfp_cinn.tasks.explore.explorable import Explorable
from tfp_cinn.tasks.sampler import Sampler
from tfp_cinn.workdir import Workdir

__all__ = ["Task", "find", "load", "names", "register", "restore", "without_data"]

_TASKS: dict[str, type[Task]] = {}
_Class = TypeVar("_Class", bound="type[Task]")


class Task(Explorable):
    """One problem: data as batches of (x, c), and what the programs ask of it.

    A task of your own names itself, tells two shapes and makes batches. The rest has defaults that
    serve any x and c.

    A task is made by `load`, with its data, or by `restore`, without: of what a run or an export
    has written about it.

    Attributes:
        name: what configs, workdirs and model cards know the task by; `register` sets it.
        event_shape: shape of one x.
        cond_shape: shape of one condition: `()` for a label, None for no condition, or a dict by
            part.
        description: what later programs need to know, for JSON. It is written into workdirs and
            published in model cards: nothing private. `dataset` names the data, `class_names` what
            labels mean.
        describes: the keys of `description` without which the task can't be restored.
        config: of the run that the task was restored from; None for an export.
        x_meaning: what x is, and in which unit, for model cards.
        cond_meaning: what the condition is.
        signatures: what an export answers beside the flow, by the names that `tfp_cinn.export`
            knows; the task's methods of these names do the same with a run's model.
        sets: parts of the condition that are sets, whose order doesn't matter.
        samples_file: where `sample` writes by default, in the workdir.
        pictures: suffixes of files that `write_samples` can write beside `.npz`.
    """

    name: str
    event_shape: Shape
    cond_shape: Any
    description: Mapping[str, Any] = {}
    describes: Sequence[str] = ()
    config: Mapping[str, Any] | None = None
    x_meaning: str = "data, in the units that the model was trained on"
    cond_meaning: str = "the condition"
    signatures: Sequence[str] = ()
    sets: Sequence[str] = ()
    samples_file = "samples.npz"
    pictures: Sequence[str] = ()

    @classmethod
    def load(cls, config: Mapping[str, Any]) -> Task:
        """Load the task with its data.

        Args:
            config: nested dicts; most tasks need its `data` alone.

        Raises:
            UsageError: if a field is wrong or the data can't be had.
        """
        return cls()

    @classmethod
    def restore(cls, description: Mapping[str, Any]) -> Task:
        """Return the task of a description, without data.

        Raises:
            UsageError: if the description lacks one of `describes`.
        """
        missing = [key for key in cls.describes if key not in description]
        if missing:
            raise UsageError(
                f"the task {cls.name!r} is described without {', '.join(missing)}; train or export "
                "the model again"
            )
        task = cls.__new__(cls)
        task.description = description
        return task

    @classmethod
    def without_data(cls, config: Mapping[str, Any]) -> Task:
        """Return what is known of a config's task without its data, enough to build the flow."""
        return cls.load(config)

    @property
    def image_shape(self) -> Shape:
        """The shape of x, as architectures of images call it."""
        return self.event_shape

    def training_batches(
        self, batch_size: int, seed: int, epoch: int | tf.Tensor | None = None
    ) -> tf.data.Dataset:
        """Return the batches `(x, cond)` of an epoch, a function of seed and epoch alone.

        Args:
            batch_size: examples a batch.
            seed: of order and noise.
            epoch: counted from 0, an int64 tensor where the trainer chains epochs; if None, each
                iteration is the next one.

        Raises:
            UsageError: if the batch is larger than an epoch.
        """
        raise NotImplementedError(f"{type(self).__name__}.training_batches")

    def validation_batches(self, batch_size: int) -> tf.data.Dataset | None:
        """Return held-out batches `(x, cond)`, the same each time; None if nothing is held out."""
        return None

    def test_batches(self, batch_size: int) -> tf.data.Dataset | None:
        """Return test batches `(x, cond)`; those of validation if there are no others."""
        return self.validation_batches(batch_size)

    def build(self, model: Mapping[str, Any]) -> CINN:
        """Build the flow that the config's `model` describes: an architecture by its name."""
        return architectures.build(data=self, **model)

    def draw_samples(self, model: CINN, workdir: Workdir) -> None:
        """Write samples into the workdir, of the same latents each time; by default nothing."""

    def measure(self, model: CINN, batch_size: int = 250) -> list[Figure]:
        """Measure a model on the test data; the options of `evaluate` that it takes are its own.

        Args:
            model: the model of a run.
            batch_size: examples a batch; changes no figure beyond rounding.

        Returns:
            Likelihood and moments of the latents.

        Raises:
            UsageError: if nothing is held out.
        """
        batches = self.test_batches(batch_size)
        if batches is None:
            raise UsageError(f"the task {self.name!r} holds out no data to measure on")
        return [*likelihood(model, batches), *latent_moments(model, batches)]

    def draw_measured(self, workdir: Workdir) -> None:
        """Draw pictures of what `measure` has just found into the workdir; by default none."""

    def read_conditions(self, texts: Sequence[str] | None, shape: Any) -> Any:
        """Read conditions, stacked along a first axis.

        Args:
            texts: labels by number or name, all if None; or one `.npy` file `[conditions, *shape]`,
                or a `.npz` with `cond`, or `cond_NAME` for each part.
            shape: of one condition, or a dict of these by part.

        Raises:
            UsageError: if they can't be read, or aren't such as the model takes.
        """
        return read_conditions(texts, shape, self.description.get("class_names"))

    def condition_range(self, batch_size: int, seed: int) -> dict[str, Any] | None:
        """Measure where the conditions of an epoch are, up to 10,000; None of labels.

        See `tfp_cinn.metrics.condition_range`.
        """
        if self.cond_shape in (None, ()):
            return None
        batches = self.training_batches(batch_size, seed, 0).take(-(-10_000 // batch_size))
        return measure_range((cond for _, cond in batches), self.sets)

    def condition_distances(self, cond: Any) -> np.ndarray | None:
        """Return how far conditions are from those of training; say so of those that are far.

        See `tfp_cinn.metrics.condition_range`. None of labels, of no condition, and of a run or an
        export that doesn't know.
        """
        known = self.description.get("condition_range")
        if known is None or cond is None:
            return None
        distances = condition_distances(known, cond)
        if line := describe_far(distances):
            print(line)
        return distances

    def sample(
        self,
        sampler: Sampler,
        cond: Sequence[str] | None,
        num_samples: int,
        temperature: float,
        seed: int,
        output: pathlib.Path,
        **options: Any,
    ) -> None:
        """Draw samples into a file.

        Args:
            sampler: a run's model, or an export.
            cond: conditions as `read_conditions` reads them.
            num_samples: samples of each.
            temperature: factor on the latents.
            seed: with the condition and a sample's number, decides the sample.
            output: the file.
            **options: of `check_output` and `write_samples`, where the task takes some.

        Raises:
            UsageError: if an argument is wrong, or a sample isn't finite.
        """
        cond = self.read_conditions(cond, sampler.cond_shape)
        shape = (num_samples, num_conditions(cond), *sampler.event_shape)
        self.check_output(output, shape, **options)
        check_room("num_samples", shape)
        x, log_prob = sampler.sample(cond, num_samples, temperature, seed)
        bad = ~np.isfinite(x).all(axis=tuple(range(2, x.ndim)))
        if bad.any():
            raise UsageError(
                f"{np.count_nonzero(bad)} of {bad.size} samples hold NaN or infinity; lower the "
                "temperature, look whether the condition is like those of training, or train "
                "further"
            )
        distance = self.condition_distances(cond)
        self.write_samples(output, x, log_prob, cond, distance=distance, **options)

    def check_output(self, output: pathlib.Path, shape: Shape) -> None:
        """Refuse a file that samples x of a shape can't be written to, before they are drawn."""
        suffixes = (".npz", *self.pictures)
        if output.suffix not in suffixes or not output.parent.is_dir():
            raise UsageError(
                f"{output}: expected a {' or '.join(suffixes)} file in a folder that exists"
            )

    def write_samples(
        self,
        output: pathlib.Path,
        x: np.ndarray,
        log_prob: np.ndarray | None,
        cond: Any,
        distance: np.ndarray | None = None,
    ) -> None:
        """Write samples into a file that `check_output` let pass.

        Args:
            output: the file. A `.npz` holds `x`, `log_prob`, `distance` where it is known, and
                `cond`, or `cond_NAME` by part.
            x: `[num_samples, conditions, *event]`; without condition, `[num_samples, 1, *event]`.
            log_prob: their log-densities in nats, `[num_samples, conditions]`; pictures need none.
            cond: the conditions, as `read_conditions` returned them.
            distance: how far each is from those of training; above 1 it is out of range.
        """
        arrays = {"x": x, "log_prob": log_prob}
        if distance is not None:
            arrays["distance"] = distance
        if isinstance(cond, Mapping):
            arrays |= {f"cond_{key}": part for key, part in cond.items()}
        elif cond is not None:
            arrays["cond"] = cond
        with writing(output) as scratch:
            np.savez(scratch, **arrays)


def check_drawing(num_samples: int = 1, temperature: float = 1.0, seed: int = 0) -> None:
    """Check how samples are to be drawn.

    Raises:
        UsageError: if num_samples is below 1, temperature negative or not finite, or seed negative
            or beyond 64 bits.
    """
    if num_samples < 1:
        raise UsageError(f"num_samples: expected 1 or more, got {num_samples}")
    if not 0 <= temperature < math.inf:
        raise UsageError(f"temperature: expected 0 or more, and finite, got {temperature:g}")
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed: expected an integer from 0 to 2^63 - 1, got {seed}")


def register(name: str) -> Callable[[_Class], _Class]:
    """Return a class decorator that makes a task known by a name, for `config.data.task`.

    Raises:
        UsageError: if another class has the name.
    """

    def known(task: _Class) -> _Class:
        other = _TASKS.get(name, task)
        if (other.__module__, other.__qualname__) != (task.__module__, task.__qualname__):
            raise UsageError(f"task {name!r}: {other.__qualname__} has this name; use another")
        task.name = name
        _TASKS[name] = task
        return task

    return known


def names() -> list[str]:
    """Return the names of the tasks that are registered."""
    return list(_TASKS)


def find(name: Any, asked: str) -> type[Task]:
    """Return the task of a name.

    Args:
        name: of the task.
        asked: where the name stands, for the message.

    Raises:
        UsageError: if none is registered by it.
    """
    if not isinstance(name, str) or name not in _TASKS:
        raise UsageError(
            f"{asked}: expected one of {', '.join(_TASKS)}, got {name!r}; a task of your own has "
            "to be imported first"
        )
    return _TASKS[name]


def load(config: Mapping[str, Any]) -> Task:
    """Load the task of a config, `data.task`, with its data.

    Raises:
        UsageError: if there is no such task, or the data can't be had.
    """
    return _asked(config).load(config)


def without_data(config: Mapping[str, Any]) -> Task:
    """Return what is known of the task of a config without its data.

    Raises:
        UsageError: if there is no such task, or nothing is known.
    """
    return _asked(config).without_data(config)


def _asked(config: Mapping[str, Any]) -> type[Task]:
    return find(config["data"].get("task"), "config.data.task")


def restore(place: Workdir | Mapping[str, Any]) -> Task:
    """Return the task of a run's folder or of an export's card, without its data.

    Whoever doesn't have the class of an export's task gets a `Task`, which draws any x and c: a
    card makes nothing import code.

    Raises:
        UsageError: if the task of a run isn't registered.
    """
    if isinstance(place, Workdir):
        written = place.description()
        task = find(written.get("task"), str(place / "task.json")).restore(written)
        task.config = place.config()
        return task
    # Exports of the first version say `kind`, or only the classes, and put more under `facts`.
    implied = "classes" if {"class_names", "levels"} <= place.keys() else None
    name = place.get("task", place.get("kind", implied))
    return _TASKS.get(name, Task).restore({**place.get("facts", {}), **place})
