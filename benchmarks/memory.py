"""Memory and time of a training step against depth, with activations stored and rebuilt.

A chain of Glow couplings with 3x3 convolutions and soft permutations on feature maps of 64 x 64, in
which activations outweigh the weights by far. Each depth is measured in a process of its own, once
with memory="store" and once with memory="recompute".

    python benchmarks/memory.py [--depths=8,32,128] [--batch_size=8] [--picture=memory_depth.png]
"""

import json
import time

import keras
import matplotlib
import measure
import numpy as np
import tensorflow as tf
from absl import app, flags

import tfp_cinn
from tfp_cinn.bijectors import Chain, GlowCoupling, SoftPermutation
from tfp_cinn.networks import ConvNet

_DEPTHS = flags.DEFINE_list("depths", ["8", "16", "32", "64", "128"], "Numbers of blocks.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Feature maps a batch.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 4, "Training steps that are timed.", lower_bound=1)
_PICTURE = flags.DEFINE_string("picture", None, "Where to draw the table, if anywhere.")
_ONE = flags.DEFINE_list("one", None, "Only measure MEMORY,DEPTH, and print it as JSON.")

_SHAPE, _HIDDEN, _COND = (64, 64, 4), 16, 2
_MODES = ("store", "recompute")


class Meter(keras.callbacks.Callback):
    """Seconds of each step, and the most that one takes beyond what is held between steps."""

    def on_train_begin(self, logs=None):
        self.seconds, self.errors = [], []

    def on_epoch_begin(self, epoch, logs=None):
        tf.config.experimental.reset_memory_stats("CPU:0")
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self._start)
        # TensorFlow's own count of tensors: the process as a whole peaks while a graph is made.
        info = tf.config.experimental.get_memory_info("CPU:0")
        self.taken = info["peak"] - info["current"]
        self.errors.append(float(logs.get("reconstruction_error", 0)))


def _measure(memory, depth):
    """Bytes and seconds of a step of one network."""
    keras.utils.set_random_seed(0)
    members = []
    for k in range(depth):
        subnet = ConvNet([_HIDDEN], zero_last=False)
        members += [SoftPermutation(k), GlowCoupling(subnet, clamp=1.0, event_ndims=3)]
    model = tfp_cinn.CINN(Chain(members), _SHAPE, cond_shape=(*_SHAPE[:2], _COND))
    # Small enough for 128 blocks, and not the identity.
    model.set_weights([0.1 * w if w.ndim == 4 else w for w in model.get_weights()])
    model.compile(keras.optimizers.SGD(1e-4), memory=memory)
    model.optimizer.build(model.trainable_variables)  # or Keras makes the graph twice
    rng = np.random.RandomState(0)
    batch = tuple(
        tf.constant(rng.randn(_BATCH_SIZE.value, *shape), tf.float32)
        for shape in (_SHAPE, (*_SHAPE[:2], _COND))
    )
    meter = Meter()
    one_step = tf.data.Dataset.from_tensors(batch)
    model.fit(one_step, epochs=_STEPS.value + 2, verbose=0, callbacks=[meter])
    return {
        "bytes": meter.taken,
        "process_bytes": measure.memory(),
        "seconds": float(np.median(meter.seconds[2:])),
        "reconstruction_error": meter.errors[-1],
        "weights": model.count_params(),
    }


def main(_):
    if _ONE.value:
        memory, depth = _ONE.value
        print(json.dumps(_measure(memory, int(depth))))
        return
    depths = [int(d) for d in _DEPTHS.value]
    print(f"{'':8}{'activations, MiB':>24}{'step, s':>24}{'time':>8}{'error':>12}")
    print(f"{'blocks':8}{'store':>12}{'recompute':>12}{'store':>12}{'recompute':>12}{'ratio':>8}")
    results = {memory: {} for memory in _MODES}
    for depth in depths:
        for memory in _MODES:
            output = measure.rerun(f"--one={memory},{depth}")
            results[memory][depth] = json.loads(output.splitlines()[-1])
        store, again = (results[memory][depth] for memory in _MODES)
        cells = "".join(f"{r['bytes'] / 2**20:12.0f}" for r in (store, again))
        cells += "".join(f"{r['seconds']:12.2f}" for r in (store, again))
        ratio = again["seconds"] / store["seconds"]
        print(f"{depth:<8}{cells}{ratio:8.2f}{again['reconstruction_error']:12.1e}", flush=True)
    growth = {
        memory: results[memory][depths[-1]]["bytes"] / results[memory][depths[0]]["bytes"]
        for memory in _MODES
    }
    print(f"activations at {depths[-1]} blocks over {depths[0]}: {growth}")
    if _PICTURE.value:
        _draw(results, _PICTURE.value)
    print(json.dumps({"batch_size": _BATCH_SIZE.value, "growth": growth, "results": results}))


def _draw(results, path):
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, key, unit, label in (
        (axes[0], "bytes", 2**20, "memory that a step takes, MiB"),
        (axes[1], "seconds", 1, "time of a step, s"),
    ):
        for memory, marker in zip(_MODES, "os", strict=True):
            depths = list(results[memory])
            values = [results[memory][depth][key] / unit for depth in depths]
            axis.plot(depths, values, marker=marker, label=f'memory="{memory}"')
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks(depths, depths)
        axis.set_xlabel("blocks")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3, which="both")
        axis.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    app.run(main)
