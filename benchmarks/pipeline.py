"""Whether training on photographs ever waits for its data.

What the data pipeline of a colorization config delivers by itself, beside what a training step
takes, and how long the steps of a real `fit` wait for their batches.

    python benchmarks/pipeline.py --folder=photos [--config=FILE] [--steps=20]

The wait of a step is the time from its beginning to the arrival of its batch inside the graph.
"""

import json
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from ml_collections import config_flags

from tfp_cinn import architectures, tasks

_CONFIG = config_flags.DEFINE_config_file("config", "tfp_cinn/configs/photos.py", "The experiment.")
_FOLDER = flags.DEFINE_string("folder", None, "Folder of photographs.", required=True)
_STEPS = flags.DEFINE_integer("steps", 20, "Training steps.", lower_bound=2)
_BATCHES = flags.DEFINE_integer("batches", 100, "Batches without training.", lower_bound=1)


class Waits(keras.callbacks.Callback):
    """Seconds of each step of a `fit`, and how many of them it waited for its batch."""

    def __init__(self, model):
        super().__init__()
        self.steps, self.waits = [], []
        self._arrived = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        step = model.train_step

        def stamped(batch):
            with tf.control_dependencies(tf.nest.flatten(batch)):
                arrived = self._arrived.assign(tf.timestamp())
            with tf.control_dependencies([arrived]):
                return step(tf.nest.map_structure(tf.identity, batch))

        model.train_step = stamped

    def on_train_batch_begin(self, batch, logs=None):
        self._begun = time.time()

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(time.time() - self._begun)
        self.waits.append(float(self._arrived) - self._begun)


def main(_):
    config = _CONFIG.value.copy_and_resolve_references()
    config.data.folder = _FOLDER.value
    batch_size = config.train.batch_size
    experiment = tasks.load(config.to_dict())
    keras.utils.set_random_seed(0)
    model = architectures.build(data=experiment, **config.model.to_dict())
    model.compile(keras.optimizers.Adam(config.train.learning_rate))
    waits = Waits(model)

    batches = experiment.training_batches(batch_size, 0).repeat()
    iterator = iter(batches)
    next(iterator)
    start = time.perf_counter()
    for _ in range(_BATCHES.value):
        next(iterator)
    alone = time.perf_counter() - start
    del iterator
    model.fit(batches, steps_per_epoch=_STEPS.value + 2, verbose=0, callbacks=[waits])
    steps, stalls = (1e3 * np.array(s[2:]) for s in (waits.steps, waits.waits))

    delivered = batch_size * _BATCHES.value / alone
    consumed = 1e3 * batch_size / float(np.median(steps))
    size = experiment.photos.train.size
    print(
        f"crops/s of {size} x {size} pixels in batches of {batch_size}: {delivered:.0f} delivered "
        f"without training, {consumed:.1f} consumed by training"
    )
    median, p90, most = np.percentile(stalls, [50, 90, 100])
    waiting = float(stalls.sum() / steps.sum())
    print(
        f"a step takes {np.median(steps):.0f} ms; its wait for data, ms: median {median:.2f}, p90 "
        f"{p90:.2f}, largest {most:.2f}; {100 * waiting:.2f} % of the time"
    )
    result = {
        "batch_size": batch_size,
        "crops_per_second": {"delivered": round(delivered, 1), "consumed": round(consumed, 1)},
        "step_ms": round(float(np.median(steps)), 2),
        "wait_ms": {"median": round(median, 3), "p90": round(p90, 3), "largest": round(most, 3)},
        "waiting": round(waiting, 5),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    app.run(main)
