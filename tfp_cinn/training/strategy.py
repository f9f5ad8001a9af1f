"""The devices and machines that a run trains on."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import signal
import threading
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_cinn.errors import UsageError
from tfp_cinn.model import CINN
from tfp_cinn.replicas import Ballot
from tfp_cinn.training.cluster import Cluster

__all__ = ["STRATEGIES", "Replicas", "WorkerLostError"]

STRATEGIES = ("none", "mirrored", "multi_worker")

_JOIN_SECONDS = 60.0
_MOST_FACTS = 4096  # characters
_SEED_STEP = 1_000_003


class WorkerLostError(UsageError):
    """A worker of the run, on this or another machine, has ended or can't be reached."""

    status = 75  # EX_TEMPFAIL of sysexits.h: try again


class Replicas:
    """Replicas of a model that train together, each on a part of every batch.

    "none" has one, and nothing is distributed. "mirrored" has one per GPU of this machine, or per
    logical CPU device if there is no GPU. "multi_worker" has one per GPU of each worker, or one on
    its CPU; the environment variable TF_CONFIG lists the workers.

    Create it before anything else is done with TensorFlow.

    Args:
        strategy: one of `STRATEGIES`.
        wait: seconds to wait for all workers to start.

    Attributes:
        is_chief: whether this process is the one that reads and writes the workdir.
        workers: number of processes.
        count: number of replicas in all processes.
        ballot: for actions that all workers must take after the same step; None for one process.

    Raises:
        UsageError: if the strategy is unknown, TF_CONFIG is invalid, or workers are missing.
    """

    def __init__(self, strategy: str = "none", wait: float = 300.0):
        if strategy not in STRATEGIES:
            raise UsageError(f"strategy: expected one of {', '.join(STRATEGIES)}, got {strategy!r}")
        self.is_chief, self.workers, self._index = True, 1, 0
        self._strategy: tf.distribute.Strategy | None = None
        if strategy != "none":
            tf.get_logger().setLevel("WARNING")  # it logs every sum over replicas
        if strategy == "mirrored":
            self._strategy = _mirrored()
        elif strategy == "multi_worker":
            cluster = Cluster.from_environment()
            cluster.wait_for_all(wait)
            self._strategy = _multi_worker()
            self.is_chief, self._index = cluster.is_chief, cluster.index
            self.workers = len(cluster.addresses)
        self.count = self._strategy.num_replicas_in_sync if self._strategy else 1
        self.ballot = Ballot() if self.workers > 1 else None

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which to create model and optimizer."""
        return self._strategy.scope() if self._strategy else contextlib.nullcontext()

    def check(self, section: Mapping[str, Any]) -> None:
        """Raise a UsageError for settings that several replicas don't support.

        Args:
            section: the config's `train` section.

        Raises:
            UsageError: if a batch can't be divided into equal parts, or steps are to be skipped.
        """
        batch_size = section["batch_size"]
        if batch_size % self.count:
            below = batch_size - batch_size % self.count
            raise UsageError(
                f"config.train.batch_size: {batch_size} examples, of all replicas together, can't "
                f"be divided among {self.count} equally; take {f'{below}, or ' * bool(below)}"
                f"{below + self.count}"
            )
        if self.count > 1 and section["on_nan"] == "skip":
            # A NaN raises an error within the step, after which replicas can no longer communicate.
            raise UsageError(
                'config.train.on_nan: "skip" needs --strategy=none; on several replicas, choose '
                '"stop", and start again'
            )

    def check_config(self, config: Mapping[str, Any]) -> None:
        """Raise a UsageError if the workers' configs differ.

        Args:
            config: this worker's, without the fields that may differ between machines.

        Raises:
            UsageError: on every worker.
        """
        if self.workers == 1:
            return
        different = self._different(json.dumps(config, sort_keys=True).encode())
        if different is not None:
            raise UsageError(
                f"config: that of worker {different} isn't the chief's; start all workers with "
                "the same command"
            )

    def split(self, batches: tf.data.Dataset | None) -> Any:
        """Give each replica its part of every batch.

        Of n examples, replica r of R gets those from floor(r n / R) to floor((r + 1) n / R), so
        together they see the same data as a single one. Each worker makes the whole batch, with its
        random numbers, and keeps its part.

        Args:
            batches: global batches; None stays None.

        Returns:
            Data for `fit`.
        """
        if self._strategy is None or batches is None:
            return batches
        here = self.count // self.workers

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            first = context.input_pipeline_id * here
            return parts(batches, range(first, first + here), self.count)

        return self._strategy.distribute_datasets_from_function(of_worker)

    def same_start(self, model: CINN, facts: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """Give all workers the chief's variables, and each replica its own noise.

        Args:
            model: compiled, its optimizer built; the chief's may be restored from a checkpoint.
            facts: the chief's data to share, as for JSON, up to some kilobytes.

        Returns:
            The chief's facts.
        """
        if self.workers > 1:
            model.ballot = self.ballot
            metrics = [v for metric in model.metrics for v in metric.variables]
            for variable in [*model.variables, *model.optimizer.variables, *metrics]:
                variable.assign(self._of_chief(variable.numpy()))
            letters = np.zeros(_MOST_FACTS, np.int32)
            own = json.dumps(facts).encode()
            letters[: len(own)] = list(own)
            facts = json.loads(bytes(self._of_chief(letters).tolist()).rstrip(b"\0"))
        if self.count > 1:
            for layer in model._flatten_layers(include_self=True):
                for generator in layer._seed_generators:
                    self._set_apart(generator.state.value)
        return facts

    def same_end(self, model: CINN) -> None:
        """Wait until all workers get here, and compare their weights.

        If the chief has failed, the others fail here.

        Raises:
            UsageError: on every worker, if their weights differ in any bit.
        """
        if self.workers == 1:
            return
        weights = [w.numpy().tobytes() for w in model.trainable_weights]
        different = self._different(b"".join(weights))
        if different is not None:
            raise UsageError(
                f"the weights of worker {different} aren't the chief's: this should never happen; "
                "the machines may be faulty or run different versions of TensorFlow"
            )

    @contextlib.contextmanager
    def one_fate(self) -> Iterator[None]:
        """Return a context for steps that all workers take together.

        Raises:
            WorkerLostError: if another worker ends in the meantime.
        """
        try:
            yield
        except _LOST as error:
            if self.workers == 1:
                raise
            reason = str(error).partition("aborted by: ")[2] or str(error)
            reason = " ".join(reason.split())[:200]
            raise WorkerLostError(f"another worker ended or can't be reached ({reason})") from None

    def _different(self, content: bytes) -> int | None:
        """Return the first worker whose content isn't the chief's."""
        own = np.zeros(self.workers, np.int64)
        own[self._index] = zlib.crc32(content)
        sums = self._sum(own)
        different = np.flatnonzero(sums != sums[0])
        return int(different[0]) if different.size else None

    def _of_chief(self, value: np.ndarray) -> np.ndarray:
        return self._sum(value if self.is_chief else np.zeros_like(value))

    def _sum(self, value: np.ndarray) -> np.ndarray:
        """Return the sum of the workers' values; a single worker's is unchanged to the bit."""
        here = self.count // self.workers

        def of_replica(context: tf.distribute.ValueContext) -> tf.Tensor:
            first = context.replica_id_in_sync_group % here == 0
            return tf.constant(value if first else np.zeros_like(value))

        values = self._strategy.experimental_distribute_values_from_function(of_replica)
        return self._strategy.reduce("SUM", values, axis=None).numpy()

    def _set_apart(self, state: tf.Variable) -> None:
        """Reseed the noise generator of each replica but the first."""
        first = self._index * self.count // self.workers
        for number, copy in enumerate(self._strategy.experimental_local_results(state)):
            seed, count = copy.numpy()
            copy.assign([seed + _SEED_STEP * (first + number), count])


def parts(batches: tf.data.Dataset, numbers: range, count: int) -> tf.data.Dataset:
    """Return some of the `count` parts of every batch, one after the other.

    Args:
        batches: any structure of tensors `[n, ...]`.
        numbers: indices of the parts.
        count: number of parts in a batch.

    Returns:
        Tuples of tensors `[m, ...]`, m being n / count rounded down or up.
    """

    def cut(number: tf.Tensor, batch: Any) -> Any:
        def rows(whole: tf.Tensor) -> tf.Tensor:
            n, size = tf.shape(whole, tf.int64)[0], whole.shape[0]
            part = whole[number * n // count : (number + 1) * n // count]
            if size is not None and size % count == 0:
                part = tf.ensure_shape(part, [size // count, *whole.shape[1:]])
            return part

        return tf.nest.map_structure(rows, batch)

    def divide(*batch: Any) -> tf.data.Dataset:
        return tf.data.Dataset.range(numbers.start, numbers.stop).map(lambda k: cut(k, batch))

    return batches.flat_map(divide).prefetch(tf.data.AUTOTUNE)


def _mirrored() -> tf.distribute.Strategy:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) == 1:
        print(f"strategy mirrored: {devices[0].name} is the only device, and trains alone")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _multi_worker() -> tf.distribute.Strategy:
    # Joining holds Python's lock and has no timeout; all workers were here a moment ago, but one
    # may have died since. faulthandler can end the process all the same.
    faulthandler.dump_traceback_later(_JOIN_SECONDS, exit=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    finally:
        faulthandler.cancel_dump_traceback_later()
        # TensorFlow has installed its own handler of SIGTERM.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if (handler := signal.getsignal(number)) is not None:
                    signal.signal(number, handler)


_LOST = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
)
