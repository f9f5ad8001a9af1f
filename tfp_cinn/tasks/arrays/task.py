"""Anybody's own x and c."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np
import tensorflow as tf

from tfp_cinn import architectures
from tfp_cinn.bijectors import Bounded
from tfp_cinn.configs.arrays import get_config
from tfp_cinn.data import arrays
from tfp_cinn.data.arrays.batches import in_split
from tfp_cinn.data.arrays.pairs import as_parts
from tfp_cinn.data.batches import of_epoch
from tfp_cinn.errors import UsageError
from tfp_cinn.metrics.figure import Figure
from tfp_cinn.model import CINN
from tfp_cinn.tasks.arrays.conditions import check_alike, read_conditions, shapes
from tfp_cinn.tasks.arrays.posteriors import draw_posteriors, measure_posteriors
from tfp_cinn.tasks.arrays.samples import check_output, read_truth, write_samples
from tfp_cinn.tasks.task import Task, register

__all__ = ["Arrays"]


@register("arrays")
class Arrays(Task):
    """Pairs (x, c) of a user's own: arrays, memory maps, a data set or a simulator.

        task = Arrays(x, cond)                      # arrays of as many rows, or memory maps
        task = Arrays(dataset)                      # a tf.data.Dataset of pairs (x, cond)
        task = Arrays(simulate)                     # simulate(num, seed) -> (x, cond)
        model = task.build()

    x is a number `[N]`, a vector `[N, D]`, a series `[N, T, C]` or a map `[N, H, W, C]`; the
    condition None, a label (integers `[N]`), a vector, a series, a map, a set `[N, M, D]` with a
    mask `[N, M]` by the name `NAME_mask`, or a dict of several of them.

    Args:
        x: the arrays x, read `Pairs`, a data set or a simulator.
        cond: the condition of x.
        validation: held-out pairs of the same kind; a fraction of the rows if None.
        test: likewise.
        validation_fraction: share of the rows that are held out, chosen by their number alone.
        test_fraction: likewise.
        bounds: (low, high) of x, or such a pair for each entry of its last axis; None is open. x
            lies between them, and so does every sample.
        missing: whether NaN in a condition means missing: the flow is then given 0 and a mask.
        sets: parts `[N, M, D]` of the condition that are sets of points, without an order; those
            with a mask `[N, M]` are. With `missing`, a point of NaN alone isn't there.
        simulations: pairs of a simulator that count as an epoch.

    Raises:
        UsageError: if an array can't be learned from; with row and column.
    """

    x_meaning = "x, in the units of the training data"
    cond_meaning = "the condition, in the units of the training data"
    describes = ("x", "cond", "columns", "categories", "missing")
    samples_file = "samples.png"
    simulate: Callable[[int, int], Any] | None = None
    """The simulator of a subclass."""
    observe: Callable[[np.ndarray, int], Any] | None = None
    """`observe(x, seed) -> cond` of a subclass draws c for given x, to check samples with."""

    def __init__(
        self,
        x: Any = None,
        cond: Any = None,
        *,
        validation: Any = None,
        test: Any = None,
        validation_fraction: float = 0.05,
        test_fraction: float = 0.05,
        bounds: Sequence[Any] | None = None,
        missing: bool = False,
        sets: Sequence[str] | None = None,
        simulations: int = 20_000,
    ):
        for name, share in (("validation", validation_fraction), ("test", test_fraction)):
            if not 0 <= share < 1:
                raise UsageError(f"data.{name}_fraction: expected 0 to below 1, got {share}")
        source = type(self).simulate if x is None else x
        if source is None:
            raise UsageError("data.train: expected an .npz or .csv file, or data.x and data.cond")
        held_out = {"validation": validation, "test": test}
        if isinstance(source, tf.data.Dataset):
            self._train = arrays.Stream(source, missing)
            self._held_out = {
                name: None if own is None else arrays.Stream(own, missing)
                for name, own in held_out.items()
            }
        elif callable(source):
            self._train = arrays.Simulation(source, simulations, missing)
            few = arrays.Simulation(source, max(1, simulations // 20), missing)
            self._held_out = dict.fromkeys(held_out, few)
        else:
            fractions = {"validation": validation_fraction, "test": test_fraction}
            self._train, self._held_out = _split(_pairs(source, cond), held_out, fractions, missing)
        pairs = self._train.pairs
        bounds = None if bounds is None else _low_and_high(bounds)
        unbounded = None if bounds is None else _unbounded(bounds)
        found = arrays.examine(self._train.chunks(), pairs, bounds, unbounded)
        for name in sets or self.sets:
            if len(found.get(name, {}).get("shape", ())) != 2:
                raise UsageError(
                    f"data.sets: expected parts [N, M, D] of the condition, got {name!r} among "
                    f"{', '.join(name for name in found if name != 'x')}"
                )
            found[name]["set"] = True
        self.sets = [name for name, part in found.items() if part.get("set")]
        self.description = {
            "x": found.pop("x"),
            "cond": found,
            "bounds": bounds,
            "missing": missing,
            "columns": {name: list(names) for name, names in pairs.columns.items()},
            "categories": {name: list(names) for name, names in pairs.categories.items()},
        }
        if self.cond_shape == () and pairs.categories:
            self.description["class_names"] = list(pairs.categories["cond"])
        for name, own in held_out.items():
            if own is not None:
                rows = self._held_out[name]
                for start, values, _ in rows.chunks():
                    check_alike(values, rows.pairs, self.description, start)

    @classmethod
    def default_config(cls) -> ml_collections.ConfigDict:
        """Return the config that comes with the package, `--config=arrays`."""
        return get_config()

    @classmethod
    def load(cls, config: Mapping[str, Any]) -> Arrays:
        """Read what the `data` section of a config names.

        Raises:
            UsageError: if a file can't be read or learned from.
        """
        data = config["data"]
        paths = {name: data.get(name) for name in ("train", "x", "cond", "validation", "test")}
        if (paths["train"] is None) == (paths["x"] is None) and cls.simulate is None:
            raise UsageError(
                "data: expected either data.train, an .npz or .csv file, or data.x (and data.cond),"
                " .npy files"
            )
        known: dict[str, Any] = {}

        def read(path):
            if path is None:
                return None
            if pathlib.Path(path).suffix != ".csv":
                return arrays.read_npz(path)
            columns = data["x_columns"], data["cond_columns"]
            pairs = arrays.read_csv(path, *columns, known.get("categories"))
            known.setdefault("categories", pairs.categories)
            return pairs

        source = read(paths["train"])
        if paths["x"] is not None:
            source = arrays.read_npy(paths["x"], paths["cond"])
        held_out = {name: read(paths[name]) for name in ("validation", "test")}
        same = ("validation_fraction", "test_fraction", "bounds", "missing", "sets", "simulations")
        return cls(source, **held_out, **{name: data[name] for name in same if name in data})

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one x."""
        return shapes(self.description)["x"]

    @property
    def cond_shape(self) -> Any:
        """Shape of one condition: None, a tuple, or one by part and mask."""
        parts = {name: shape for name, shape in shapes(self.description).items() if name != "x"}
        return parts["cond"] if list(parts) == ["cond"] else parts or None

    @property
    def parts(self) -> Mapping[str, Any]:
        """What each part of the condition is; see `architectures.ShapedPairs`."""
        return self.description["cond"]

    @property
    def moments(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of the training rows' x, made unbounded."""
        return self.description["x"]["mean"], self.description["x"]["std"]

    @property
    def bounds(self) -> tuple[Any, Any] | None:
        """Low and high of x."""
        return self.description["bounds"]

    def build(self, model: Mapping[str, Any] | None = None) -> CINN:
        """Build the flow that the `model` section of a config names, or the one for the shapes."""
        fields = {"architecture": "from_shapes"} | dict(model or {})
        return architectures.build(data=self, **fields)

    def training_batches(self, batch_size: int, seed: int, epoch: Any = None) -> tf.data.Dataset:
        """Return the batches (x, cond) of an epoch, a function of seed and epoch alone."""
        batches = of_epoch(lambda number: self._train.batches(batch_size, seed, number), epoch)
        length = self._train.batches(batch_size, seed, 0).cardinality()
        return batches.apply(tf.data.experimental.assert_cardinality(length))

    def validation_batches(self, batch_size: int) -> tf.data.Dataset | None:
        """Return held-out batches, the same each time."""
        rows = self._held_out["validation"]
        # Of a simulator, pairs that no epoch of training has.
        return None if rows is None else rows.batches(batch_size, seed=-1)

    def test_batches(self, batch_size: int) -> tf.data.Dataset | None:
        """Return further held-out batches, the same each time."""
        rows = self._held_out["test"]
        return None if rows is None else rows.batches(batch_size, seed=-2)

    def measure(
        self,
        model: CINN,
        batch_size: int = 250,
        num_samples: int = 1000,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> list[Figure]:
        """Measure likelihood and latents and, where x is a vector, the posteriors.

        Args:
            model: the model.
            batch_size: pairs a batch of the likelihood; changes no figure beyond rounding.
            num_samples: draws for each held-out condition, 20 or more.
            temperature: factor on the latents of the draws.
            seed: of the draws.

        Returns:
            Figures of all test data, then of the posteriors of the first 1000 pairs, for vectors of
            20 entries at most; see `tfp_cinn.metrics.posterior`.

        Raises:
            UsageError: if nothing is held out, or `num_samples` is too small.
        """
        if num_samples < 20:
            raise UsageError(
                f"num_samples: expected 20 or more, to judge posteriors, got {num_samples}"
            )
        figures = super().measure(model, batch_size)
        judged, self._posteriors = measure_posteriors(self, model, num_samples, temperature, seed)
        return figures + judged

    def draw_measured(self, workdir: Any) -> None:
        """Draw the posteriors that were measured; see `draw_posteriors`."""
        if self._posteriors is not None:
            draw_posteriors(self._posteriors, workdir)

    def read_conditions(self, texts: Sequence[str] | None, shape: Any) -> Any:
        """Read conditions; see `tfp_cinn.tasks.arrays.conditions.read_conditions`."""
        return read_conditions(texts, self.description)

    def check_output(self, output, shape, truth: str | None = None) -> None:
        """Refuse a file that samples can't be written to, or a truth of another shape."""
        check_output(output, shape[2:])
        if truth is not None:
            read_truth(truth, shape[1:])

    def write_samples(
        self, output, x, log_prob, cond, distance=None, truth: str | None = None
    ) -> None:
        """Write samples; see `tfp_cinn.tasks.arrays.samples.write_samples`.

        Args:
            output: the file.
            x: the samples.
            log_prob: their log-densities.
            cond: the conditions.
            distance: see `Task.write_samples`.
            truth: a file of the true x of each condition, to be marked in pictures.
        """
        if truth is not None:
            truth = read_truth(truth, x.shape[1:])
        write_samples(output, x, log_prob, cond, self.description, distance, truth)

    def draw_samples(self, model: CINN, workdir: Any) -> None:
        """Draw `samples.png`: for a held-out condition, with the truth marked."""
        batches = self.validation_batches(1) or self.training_batches(1, 0, 0)
        example = next(iter(batches))
        x, cond = example if isinstance(example, tuple) else (example, None)
        samples, log_prob = model.distribution.sample_and_log_prob(cond, (1000,), seed=0)
        samples = np.reshape(samples, (1000, 1, *self.event_shape))
        write_samples(
            workdir / "samples.png", samples, log_prob, cond, self.description, truth=x.numpy()
        )


def _pairs(source: Any, cond: Any) -> arrays.Pairs:
    if isinstance(source, arrays.Pairs):
        return source
    if isinstance(source, tuple):
        source, cond = source
    return arrays.Pairs(np.asanyarray(source), as_parts(cond))


def _split(pairs, held_out, fractions, missing):
    """Return rows to train on, and the held-out ones by name."""
    numbers = np.arange(len(pairs))
    training, splits, low = np.ones(len(pairs), bool), {}, 0.0
    for name, own in held_out.items():
        if own is not None:
            splits[name] = arrays.Rows(_pairs(own, None), None, missing)
            continue
        chosen = in_split(numbers, low, low + fractions[name])
        low += fractions[name]
        if fractions[name] and not chosen.any():
            raise UsageError(
                f"{pairs.source}: {len(pairs)} rows are too few for a {name} split of "
                f"{fractions[name]:g}; give more, or set data.{name}_fraction=0"
            )
        training &= ~chosen
        splits[name] = arrays.Rows(pairs, numbers[chosen], missing) if chosen.any() else None
    if training.sum() < 2:
        raise UsageError(f"{pairs.source}: expected at least 2 rows to train on; give more")
    rows = None if training.all() else numbers[training]
    return arrays.Rows(pairs, rows, missing), splits


def _low_and_high(bounds: Sequence[Any]) -> tuple[Any, Any]:
    """Return the low and the high side of (low, high), or of such pairs by column."""
    pairs = [bounds] if all(side is None or np.ndim(side) == 0 for side in bounds) else bounds
    if any(len(pair) != 2 for pair in pairs):
        raise UsageError(
            f"data.bounds: expected (low, high), or one such pair for each column, got {bounds}"
        )
    low, high = (
        [None if side is None else float(side) for side in s] for s in zip(*pairs, strict=True)
    )
    return (low[0], high[0]) if len(pairs) == 1 else (low, high)


def _unbounded(bounds: tuple[Any, Any]) -> Callable[[np.ndarray], np.ndarray]:
    bounded = Bounded(*bounds)
    return lambda x: bounded.inverse(tf.constant(x)).numpy()
