"""What a problem is to the programs: its x and c, and what is drawn and measured of them."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from tfp_cinn import architectures
from tfp_cinn.bijectors.shapes import Shape
from tfp_cinn.errors import UsageError
from tfp_cinn.metrics.latents import latent_statistics
from tfp_cinn.metrics.likelihood import nats_per_dim
from tfp_cinn.model import CINN
from tfp_cinn.tasks.output import check_drawing
from tfp_cinn.tasks.report import table
from tfp_cinn.workdir import Workdir

__all__ = ["Task", "find", "names", "register"]

_TASKS: dict[str, type[Task]] = {}
_Class = TypeVar("_Class", bound="type[Task]")


class Task:
    """One problem: data as batches of (x, c), and what the programs ask of it.

    A task of your own names itself, loads its data, tells two shapes and makes batches. The rest
    has defaults that serve any x and c: `evaluate` measures likelihood and latents, `sample` writes
    `.npz`, the model card describes x and the condition in general terms.

    Attributes:
        name: what configs, workdirs and model cards know the task by.
        x_meaning: what x is, and in which unit, for model cards.
        cond_meaning: what the condition is.
        signatures: what an export answers beside the flow, by the names that `tfp_cinn.export`
            knows.
        samples_file: where `sample` writes by default, in the workdir.
    """

    name: str
    x_meaning = "data, in the units that the model was trained on"
    cond_meaning = "the condition"
    signatures: Sequence[str] = ()
    samples_file = "samples.npz"

    @classmethod
    def load(cls, section: Mapping[str, Any], model: Mapping[str, Any]) -> Task:
        """Load the task with its data.

        Args:
            section: the config's `data`.
            model: the config's `model`.

        Raises:
            UsageError: if a field is wrong or the data can't be had.
        """
        raise NotImplementedError(f"{cls.__name__}.load")

    @classmethod
    def without_data(cls, section: Mapping[str, Any], model: Mapping[str, Any]) -> Task:
        """Return what is known of the task without its data: shapes and facts."""
        return cls.load(section, model)

    @property
    def event_shape(self) -> Shape:
        """Shape of one x."""
        raise NotImplementedError(f"{type(self).__name__}.event_shape")

    @property
    def image_shape(self) -> Shape:
        """The same, as architectures of images call it."""
        return self.event_shape

    @property
    def cond_shape(self) -> Any:
        """Shape of one condition: `()` for a label, None for no condition, or a dict by part."""
        raise NotImplementedError(f"{type(self).__name__}.cond_shape")

    @property
    def facts(self) -> dict[str, Any]:
        """What later programs need to know of the data, for JSON; `name` among it."""
        return {"name": self.name}

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

    @classmethod
    def read_conditions(
        cls, texts: Sequence[str] | None, shape: Any, facts: Mapping[str, Any] | None = None
    ) -> Any:
        """Read conditions, stacked along a first axis, for whoever draws: a model or a server.

        Args:
            texts: one `.npy` file `[conditions, *shape]`, or a `.npz` with `cond`, or `cond_NAME`
                for each part.
            shape: of one condition, or a dict of these by part.
            facts: of the run, or those that `card` published.

        Raises:
            UsageError: if there is no such file, or it holds another shape or NaN.
        """
        if shape is None:
            if texts is not None:
                raise UsageError("cond: the model takes no condition; leave --cond away")
            return None
        if texts is None or len(texts) != 1:
            raise UsageError("cond: expected one .npy or .npz file of conditions; give --cond=FILE")
        try:
            found = np.load(texts[0], allow_pickle=False)
            if not isinstance(found, np.ndarray):
                with found:
                    found = dict(found)
        except (OSError, ValueError, EOFError) as error:
            raise UsageError(f"cond: {texts[0]}: can't be read as .npy or .npz ({error})") from None
        found = found if isinstance(found, dict) else {"cond": found}
        parts = {}
        for key, part in (shape if isinstance(shape, dict) else {"cond": shape}).items():
            name = key if key in found else f"cond_{key}"
            if name not in found:
                raise UsageError(f"cond: {texts[0]}: lacks {key!r}, has {', '.join(found)}")
            value = parts[key] = found[name]
            if value.dtype.kind not in "biuf" or value.shape[1:] != tuple(part) or not value.ndim:
                raise UsageError(
                    f"cond: {texts[0]}: expected numbers of shape {['conditions', *part]} as "
                    f"{name}, got {value.dtype} {list(value.shape)}"
                )
            if not len(value) or not np.isfinite(value).all():
                raise UsageError(f"cond: {texts[0]}: expected finite {name}, one row or more")
        if len({len(value) for value in parts.values()}) > 1:
            raise UsageError(f"cond: {texts[0]}: parts differ in their number of rows")
        return parts if isinstance(shape, dict) else parts["cond"]

    @classmethod
    def sample(
        cls,
        workdir: Workdir,
        cond: Sequence[str] | None,
        num_samples: int,
        temperature: float,
        seed: int,
        output: pathlib.Path,
    ) -> None:
        """Write samples of a run's model, `x` `[num_samples, conditions, ...]` and `log_prob`.

        Args:
            workdir: the run.
            cond: as in `read_conditions`.
            num_samples: samples of each condition.
            temperature: factor on the latents.
            seed: the same seed draws the same samples.
            output: the file; see `write_samples`.

        Raises:
            UsageError: if an argument is wrong.
        """
        check_drawing(num_samples, temperature, seed)
        facts = workdir.dataset()
        cls.check_output(output, facts)
        model = workdir.load_model()
        cond = cls.read_conditions(cond, model.cond_shape, facts)
        cond = tf.nest.map_structure(_as_condition, cond)
        key = np.random.SeedSequence(seed).generate_state(2).view(np.int32)
        x = model.distribution.sample(
            cond, sample_shape=num_samples, seed=key, temperature=temperature
        )
        log_prob = model.distribution.log_prob(tf.identity(x), cond)
        cls.write_samples(output, x.numpy(), log_prob.numpy(), cond, facts)
        print(output)

    @classmethod
    def check_output(cls, output: pathlib.Path, facts: Mapping[str, Any]) -> None:
        """Refuse a file that samples can't be written to, before they are drawn."""
        if output.suffix != ".npz" or not output.parent.is_dir():
            raise UsageError(f"{output}: expected a .npz file in a folder that exists")

    @classmethod
    def write_samples(
        cls,
        output: pathlib.Path,
        x: np.ndarray,
        log_prob: np.ndarray,
        cond: Any,
        facts: Mapping[str, Any],
    ) -> None:
        """Write samples, whoever drew them.

        Args:
            output: the file, which `check_output` let pass.
            x: `[num_samples, conditions, *event]`, or `[num_samples, *event]` of no condition.
            log_prob: their log-densities in nats.
            cond: the conditions, as `read_conditions` gave them.
            facts: as there.
        """
        with Workdir(output.parent).writing(output.name) as scratch:
            np.savez(scratch, x=x, log_prob=log_prob)

    @classmethod
    def evaluate(
        cls,
        workdir: Workdir,
        source: str | None = None,
        batch_size: int = 250,
        temperature: float = 1.0,
        seed: int = 0,
        **options: Any,
    ) -> dict[str, Any]:
        """Measure a run's model on test data; print a table and JSON, write `evaluation.json`.

        Args:
            workdir: the run.
            source: folder to read the data from; here refused, as the config names the data.
            batch_size: examples a batch; changes no figure beyond rounding.
            temperature: of samples; these figures draw none.
            seed: likewise.
            **options: none.

        Returns:
            Likelihood and moments of the latents, each a mean with its standard error.

        Raises:
            UsageError: if an option isn't known, or nothing is held out.
        """
        if source is not None or options:
            unknown = [*(["source"] if source is not None else []), *options]
            raise UsageError(f"{', '.join(unknown)}: not an option of the task {cls.name!r}")
        config = workdir.config()
        task = cls.load(config["data"], config["model"])
        batches = task.test_batches(batch_size)
        if batches is None:
            raise UsageError(f"{workdir}: the task {cls.name!r} holds out no data to measure on")
        model = workdir.load_model()
        figures = {"nats_per_dim": nats_per_dim(model, batches)}
        if len(task.event_shape) == 3:
            figures["bits_per_dim"] = figures["nats_per_dim"].scaled(1 / math.log(2))
        latents = latent_statistics(model, batches)
        figures |= {f"latent_{key}": figure for key, figure in latents._asdict().items()}
        result = {
            "dataset": task.facts.get("name"),
            "model_sha256": workdir.model_sha256(),
            **{key: figure.as_json() for key, figure in figures.items()},
        }
        line = json.dumps(result, allow_nan=False)
        print(table(figures), line, sep="\n")
        with workdir.writing("evaluation.json") as scratch:
            scratch.write_text(line + "\n")
        return result

    @classmethod
    def subject(cls) -> Any:
        """Return what `explore` draws a run with, a class of `tfp_cinn.tasks.explore.subject`."""
        raise UsageError(f"explore: the task {cls.name!r} has nothing to explore with")

    @classmethod
    def card(cls, facts: Mapping[str, Any], source: pathlib.Path) -> dict[str, Any]:
        """Return what a model card tells of the data, from a run's facts, beside name and task.

        Args:
            facts: what the run wrote down.
            source: the file that they are from, for messages.
        """
        return {}

    @classmethod
    def meanings(cls, facts: Mapping[str, Any], num_classes: int | None) -> tuple[str, str]:
        """Return what x and the condition are, for the inputs and outputs in a card.

        Args:
            facts: of the card.
            num_classes: how many classes the condition has, if it is a label and that is known.
        """
        return cls.x_meaning, cls.cond_meaning


def _as_condition(value: np.ndarray | None) -> np.ndarray | None:
    """Labels as int32, all else as float32."""
    return value if value is None else value.astype(np.int32 if value.ndim == 1 else np.float32)


def register(name: str) -> Callable[[_Class], _Class]:
    """Return a class decorator that makes a task known by a name.

    Args:
        name: for `config.data.kind`.

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
