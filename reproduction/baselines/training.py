"""Training for a number of CPU seconds."""

import math
import time
from collections.abc import Callable

import tensorflow as tf

from reproduction.baselines.baseline import Baseline, key_of
from tfp_cinn.tasks import Task

_ENTRIES = 40  # of a history


def train(
    model: Baseline,
    task: Task,
    seconds: float,
    seed: int,
    progress: Callable[[float, dict[str, float]], None] | None = None,
) -> list[dict[str, float]]:
    """Train until this process has used so many CPU seconds, data without end.

    They begin with the call: graphs are made and data read in them. The learning rate rises over
    the first hundred steps and falls as half a cosine over the share of the seconds.

    Args:
        model: of `build`.
        task: the data.
        seconds: of `time.process_time`, all threads together.
        seed: of the batches, and of what the model draws at each step.
        progress: called about once a second with the share of the seconds, and the latest losses.

    Returns:
        About 40 entries: "seconds", "epoch" and "rate" by then, and the losses by name, averaged
        since the entry before.
    """
    start = time.process_time()
    per_epoch = int(task.training_batches(model.batch_size, seed, 0).cardinality())
    history, totals, told = [], {}, 0.0
    since = 0
    batches = tf.data.Dataset.range(tf.int64.max).flat_map(
        lambda epoch: task.training_batches(model.batch_size, seed, epoch)
    )
    for number, (x, cond) in enumerate(batches):
        share = min(1.0, (time.process_time() - start) / seconds)
        rate = model.rate * min(1.0, (number + 1) / 100) * (1 + math.cos(math.pi * share)) / 2
        losses = model.step(x, cond, key_of(seed, number), tf.constant(rate, tf.float32))
        losses = {name: float(loss) for name, loss in losses.items()}
        totals = {name: totals.get(name, 0.0) + loss for name, loss in losses.items()}
        since += 1
        used = time.process_time() - start
        if used >= seconds * min(1.0, (len(history) + 1) / _ENTRIES):
            means = {name: total / since for name, total in totals.items()}
            epoch = (number + 1) / per_epoch
            history.append({"seconds": used, "epoch": epoch, "rate": rate, **means})
            totals, since = {}, 0
        if progress and used >= told + 1:
            told = used
            progress(min(1.0, used / seconds), losses)
        if used >= seconds:
            return history
