"""The devices and machines that a run trains on."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
from tensorflow.python.eager import context as eager_context

from tfp_cinn.configs import TrainConfig
from tfp_cinn.errors import UsageError
from tfp_cinn.model import CINN
from tfp_cinn.replicas import Ballot
from tfp_cinn.training.checkpoints import Moment

__all__ = ["STRATEGIES", "Replicas", "WorkerLostError"]

STRATEGIES = ("none", "mirrored", "multi_worker")

_SEED_STEP = 1_000_003
_GRACE_SECONDS = 10.0


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
        UsageError: if the strategy is unknown or TF_CONFIG is invalid.
        WorkerLostError: if workers are missing.
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
            jobs, self._index = _workers()
            self.workers, self.is_chief = sum(jobs.values()), self._index == 0
            self._strategy = _multi_worker(jobs, wait)
        self.count = self._strategy.num_replicas_in_sync if self._strategy else 1
        self.ballot = Ballot() if self.workers > 1 else None

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which to create model and optimizer."""
        return self._strategy.scope() if self._strategy else contextlib.nullcontext()

    def check(self, config: TrainConfig) -> None:
        """Refuse what several replicas can't do.

        Raises:
            UsageError: if a batch can't be divided into equal parts.
        """
        size = config.batch_size
        if size % self.count:
            below = size - size % self.count
            raise UsageError(
                f"config.train.batch_size: {size} examples, of all replicas together, can't be "
                f"divided among {self.count} equally; take {f'{below}, or ' * bool(below)}"
                f"{below + self.count}"
            )

    def compare(self, content: bytes, what: str) -> None:
        """Raise a UsageError on every worker if what they hold isn't the chief's, bit for bit."""
        if self.workers == 1:
            return
        own = np.zeros(self.workers, np.int64)
        own[self._index] = zlib.crc32(content)
        sums = self._sum(own)
        different = np.flatnonzero(sums != sums[0])
        if different.size:
            raise UsageError(f"the {what} of worker {different[0]} isn't the chief's; {_SAME}")

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

    def same_start(self, model: CINN, moment: Moment | None = None) -> Moment:
        """Give all workers the chief's variables and moment, and each replica its own noise.

        Args:
            model: compiled, its optimizer built; the chief's may be restored from a checkpoint.
            moment: the chief's; the beginning if None.
        """
        moment = moment or Moment()
        if self.workers > 1:
            model.ballot = self.ballot
            metrics = [v for metric in model.metrics for v in metric.variables]
            for variable in [*model.variables, *model.optimizer.variables, *metrics]:
                variable.assign(self._of_chief(variable.numpy()))
            text = json.dumps(moment._asdict()).encode()
            length = int(self._of_chief(np.int64(len(text))))
            letters = np.frombuffer(text[:length].ljust(length), np.uint8).astype(np.int32)
            moment = Moment(**json.loads(bytes(self._of_chief(letters).tolist())))
        if self.count > 1:
            for layer in model._flatten_layers(include_self=True):
                for generator in layer._seed_generators:
                    self._set_apart(generator.state.value)
        return moment

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
            raise _lost(error) from None

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


def _workers() -> tuple[dict[str, int], int]:
    """Return the number of workers of each job in TF_CONFIG, and the index of this one."""
    try:
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        cluster = resolver.cluster_spec()
        jobs = {job: cluster.num_tasks(job) for job in cluster.jobs}
        cluster.task_address(resolver.task_type, resolver.task_id)
    except (ValueError, TypeError, KeyError, AttributeError):
        jobs = {}
    if not jobs or jobs.keys() - {"chief", "worker"} or jobs.get("chief", 1) != 1:
        given = os.environ.get("TF_CONFIG", "no such variable")
        raise UsageError(
            f"TF_CONFIG: expected the host:port of each worker and the place of this one, as in "
            f"{_EXAMPLE}, got {' '.join(given.split())[:300]}; bin/launch.py sets it for workers "
            "on one machine"
        )
    before = jobs.get("chief", 0) if resolver.task_type == "worker" else 0
    return jobs, before + resolver.task_id


def _multi_worker(jobs: dict[str, int], wait: float) -> tf.distribute.Strategy:
    # As the strategy would do it, but with a limit of time.
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    job = "chief" if "chief" in jobs else "worker"
    eager_context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=f"/job:{job}/replica:0/task:0",
        cluster_register_timeout_in_ms=round(1000 * wait),
        coordinated_jobs=[CoordinatedJob(name=j, num_tasks=count) for j, count in jobs.items()],
    )
    # The first worker itself waits without a limit, and holds Python's lock; faulthandler can end
    # the process all the same.
    print(f"waiting for {sum(jobs.values())} workers, at most {wait:g} s", flush=True)
    faulthandler.dump_traceback_later(wait + _GRACE_SECONDS, exit=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except tf.errors.OpError as error:
        raise _lost(error) from None
    finally:
        faulthandler.cancel_dump_traceback_later()
        # TensorFlow has installed its own handler of SIGTERM.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if (handler := signal.getsignal(number)) is not None:
                    signal.signal(number, handler)


def _lost(error: tf.errors.OpError) -> WorkerLostError:
    reason = str(error).partition("aborted by: ")[2] or str(error)
    reason = " ".join(reason.split()).partition(" Additional GRPC")[0][:200]
    return WorkerLostError(f"another worker ended or can't be reached ({reason})")


_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)
_SAME = "start all workers with the same command and the same version of TensorFlow"
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
)
