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
_MOST_FACTS = 4096  # letters
_SEED_STEP = 1_000_003


class WorkerLostError(UsageError):
    """A worker of the run, a process on this or another machine, has ended or can't be reached."""

    status = 75  # by sysexits.h: try again


class Replicas:
    """Copies of a model that train together, each on a part of every batch.

    With "none" there is one, and nothing is distributed. "mirrored" has one on each GPU of this
    machine, or on each logical CPU device if it has no GPU. "multi_worker" has one on each GPU of
    each worker, or on the CPU of each, and the workers are those of the variable TF_CONFIG.

    Made before anything else is done with TensorFlow.

    Args:
        strategy: one of `STRATEGIES`.
        wait: seconds to wait until all workers are there.

    Attributes:
        is_chief: whether this process is the one that touches the workdir.
        workers: number of processes.
        count: number of replicas in all of them.
        ballot: for what all workers have to do after one and the same step; None for one process.

    Raises:
        UsageError: if there is no such strategy, TF_CONFIG doesn't serve, or workers don't come.
    """

    def __init__(self, strategy: str = "none", wait: float = 300.0):
        if strategy not in STRATEGIES:
            raise UsageError(f"strategy: expected one of {', '.join(STRATEGIES)}, got {strategy!r}")
        self.is_chief, self.workers, self._index = True, 1, 0
        self._strategy: tf.distribute.Strategy | None = None
        if strategy != "none":
            tf.get_logger().setLevel("WARNING")  # it would speak of every sum over replicas
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
        """Context in which model and optimizer are made."""
        return self._strategy.scope() if self._strategy else contextlib.nullcontext()

    def check(self, section: Mapping[str, Any]) -> None:
        """Refuse what can't be done on several replicas.

        Args:
            section: the config's `train` section.

        Raises:
            UsageError: if a batch can't be divided into equal parts, or steps shall be skipped.
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
            # The step is left by an error, after which replicas can't sum up anything any more.
            raise UsageError(
                'config.train.on_nan: "skip" needs --strategy=none; on several replicas, choose '
                '"stop", and start again'
            )

    def check_config(self, config: Mapping[str, Any]) -> None:
        """Refuse a run whose workers have different configs.

        Args:
            config: of this worker, but for what may differ from machine to machine.

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

        Of n examples, replica r of R has those from floor(r n / R) to floor((r + 1) n / R): all
        replicas together see what one alone would see, each example once. Each worker makes the
        whole batch, its random numbers included, and keeps its part.

        Args:
            batches: batches of all replicas together; None stays None.

        Returns:
            What `fit` takes.
        """
        if self._strategy is None or batches is None:
            return batches
        here = self.count // self.workers

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            first = context.input_pipeline_id * here
            return parts(batches, range(first, first + here), self.count)

        return self._strategy.distribute_datasets_from_function(of_worker)

    def same_start(self, model: CINN, facts: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """Give all workers the chief's variables, and all replicas noise of their own.

        Args:
            model: compiled, its optimizer built; the chief's may be restored from a checkpoint.
            facts: of the chief, for JSON, some kilobytes at most.

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
        """Wait until all workers have come here, and compares their weights.

        A chief that failed before makes the others fail here.

        Raises:
            UsageError: on every worker, if their weights differ in a single bit.
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
        """Context whose steps all workers take, or none.

        Raises:
            WorkerLostError: if another worker ended during it.
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
        """The first worker whose content isn't the chief's."""
        own = np.zeros(self.workers, np.int64)
        own[self._index] = zlib.crc32(content)
        sums = self._sum(own)
        different = np.flatnonzero(sums != sums[0])
        return int(different[0]) if different.size else None

    def _of_chief(self, value: np.ndarray) -> np.ndarray:
        return self._sum(value if self.is_chief else np.zeros_like(value))

    def _sum(self, value: np.ndarray) -> np.ndarray:
        """The sum of a value of each worker; of one alone, it is bit for bit that one."""
        here = self.count // self.workers

        def of_replica(context: tf.distribute.ValueContext) -> tf.Tensor:
            first = context.replica_id_in_sync_group % here == 0
            return tf.constant(value if first else np.zeros_like(value))

        values = self._strategy.experimental_distribute_values_from_function(of_replica)
        return self._strategy.reduce("SUM", values, axis=None).numpy()

    def _set_apart(self, state: tf.Variable) -> None:
        """Give the noise generator of each replica another seed; replica 0 keeps its own."""
        first = self._index * self.count // self.workers
        for number, copy in enumerate(self._strategy.experimental_local_results(state)):
            seed, count = copy.numpy()
            copy.assign([seed + _SEED_STEP * (first + number), count])


def parts(batches: tf.data.Dataset, numbers: range, count: int) -> tf.data.Dataset:
    """Some of the `count` parts of every batch, one after the other.

    Args:
        batches: any structure of tensors `[n, ...]`.
        numbers: of the parts wanted.
        count: in how many parts to divide.

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
    # Joining holds Python's lock and knows no time limit; all workers were here a moment ago, but
    # one may have died since. This ends the process from outside Python.
    faulthandler.dump_traceback_later(_JOIN_SECONDS, exit=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    finally:
        faulthandler.cancel_dump_traceback_later()
        # TensorFlow has taken SIGTERM for itself.
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
