"""Training steps a second at one and two workers, bytes that they exchange, and a projection.

The network of the paper's minimal MNIST example (24.3 million weights) through `fit`, each process
kept to the cores it is said to have:

* one process with one core, and half of the batch: what a worker of two has to do;
* one process with one core, and with two, and the whole batch;
* two workers with one core each, which are two processes on 127.0.0.1, and the whole batch.

    python benchmarks/scaling.py [--batch_size=256] [--rounds=2]

The projection is no measurement. It takes the ring all-reduce,

    seconds a step = products / (efficiency * peak) + 2 (R - 1) / R * bytes / bandwidth

for R GPUs, with the bytes measured here, products counted by `benchmarks/flops.py`, and published
speeds; see `docs/distributed.md` for what it leaves out.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import keras
import minimal
import numpy as np
import tensorflow as tf
from absl import app, flags

from tfp_cinn.fused_adam import FusedAdam
from tfp_cinn.training.strategy import Replicas

_BATCH_SIZE = flags.DEFINE_integer("batch_size", 256, "Images a batch.", lower_bound=2)
_ROUNDS = flags.DEFINE_integer("rounds", 2, "How often each is measured.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 10, "Steps of each measurement.", lower_bound=3)
_CORES = flags.DEFINE_integer("cores", 0, "Only print what a process with these cores measures.")
_STRATEGY = flags.DEFINE_string("strategy", "none", "Its strategy, as of bin/train.py.")

_WARM_UP = 3
_ROOT = pathlib.Path(__file__).parents[1]

# Operations of a training step at the published batch size (benchmarks/flops.py), and weights.
_NETWORKS = {
    "MNIST minimal, 256 images a GPU": (37.3e9, 24_341_120),
    "LSUN minimal, 128 images a GPU": (1167e9, 11_010_760),
}
_PEAK, _EFFICIENCY = 67e12, 0.4  # FP32 operations a second of an H100 SXM (NVIDIA's data sheet)
# Bytes a second each way: half of the 900 GB/s that NVIDIA's data sheet counts both ways, and the
# nominal speeds of one network card for the eight GPUs of a machine.
_LINKS = {
    "NVLink 4": (450e9, (8,)),
    "400 Gb/s InfiniBand": (50e9, (64, 512)),
    "100 Gb/s Ethernet": (12.5e9, (64, 512)),
}


class StepTimer(keras.callbacks.Callback):
    """Seconds of the steps after the first few, and the bytes that the machine sent itself."""

    def __init__(self):
        super().__init__()
        self.seconds, self.sent, self._last = [], 0, 0.0

    def on_train_batch_begin(self, batch, logs=None):
        if batch == _WARM_UP:
            self.sent = -_sent_on_loopback()
        self._last = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if batch >= _WARM_UP:
            self.seconds.append(time.perf_counter() - self._last)

    def on_train_end(self, logs=None):
        self.sent += _sent_on_loopback()


def _sent_on_loopback():
    for line in pathlib.Path("/proc/net/dev").read_text().splitlines():
        name, _, figures = line.partition(":")
        if name.strip() == "lo":
            return int(figures.split()[8])
    return 0


def _measure(cores, strategy, batch_size):
    """Print what one process measures, or each worker of several."""
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"] if "TF_CONFIG" in os.environ else 0
    # TensorFlow makes as many threads as it sees cores.
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[index : index + cores]))
    replicas = Replicas(strategy)
    with replicas.scope():
        model, *_ = minimal.make_model()
        model.compile(FusedAdam(5e-4, global_clipnorm=10.0))
        model.optimizer.build(model.trainable_variables)
    replicas.same_start(model)
    rng = np.random.RandomState(1)
    x = tf.constant(rng.rand(batch_size, 28, 28, 1).astype("float32") * 256)
    batch = x, tf.constant(rng.randint(0, 10, batch_size).astype("int32"))
    timer, steps = StepTimer(), _WARM_UP + _STEPS.value
    batches = replicas.split(tf.data.Dataset.from_tensors(batch).repeat())
    model.fit(batches, steps_per_epoch=steps, verbose=0, callbacks=[timer])
    bytes_ = sum(4 * int(np.prod(w.shape)) for w in model.trainable_weights)
    sent = timer.sent / len(timer.seconds)
    print(json.dumps({"seconds": timer.seconds, "gradient_bytes": bytes_, "sent_bytes": sent}))


def _run(cores, batch_size, workers=1):
    command = [sys.executable]
    flags_ = [f"--cores={cores}", f"--batch_size={batch_size}", f"--steps={_STEPS.value}"]
    if workers > 1:
        command += [str(_ROOT / "bin/launch.py"), f"--workers={workers}", "--"]
    done = subprocess.run([*command, __file__, *flags_], capture_output=True, text=True)
    print(".", end="", file=sys.stderr, flush=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _project(gradient_bytes_a_weight):
    """Milliseconds of compute and of exchange, and efficiency, of each network, link and number."""
    results = []
    for network, (operations, weights) in _NETWORKS.items():
        compute = operations / (_EFFICIENCY * _PEAK)
        for link, (bandwidth, counts) in _LINKS.items():
            for count in counts:
                exchange = 2 * (count - 1) / count * weights * gradient_bytes_a_weight / bandwidth
                results.append(
                    {
                        "network": network,
                        "gpus": count,
                        "link": link,
                        "compute_ms": round(1e3 * compute, 2),
                        "exchange_ms": round(1e3 * exchange, 2),
                        "efficiency": round(compute / (compute + exchange), 3),
                    }
                )
    return results


def main(_):
    batch_size = _BATCH_SIZE.value
    if _CORES.value:
        _measure(_CORES.value, _STRATEGY.value, batch_size)
        return
    cases = {
        f"1 process, 1 core, {batch_size // 2} images": (1, batch_size // 2),
        f"1 process, 1 core, {batch_size} images": (1, batch_size),
        f"1 process, 2 cores, {batch_size} images": (2, batch_size),
        f"2 workers, 1 core each, {batch_size} images": (1, batch_size, 2),
    }
    found = {case: [] for case in cases}
    for _ in range(_ROUNDS.value):
        for case, arguments in cases.items():
            found[case].append(_run(*arguments))
    seconds = {
        case: statistics.median(s for one in rounds for s in one["seconds"])
        for case, rounds in found.items()
    }
    half, whole, both, workers = seconds.values()
    last = found[list(cases)[-1]][-1]
    print(f"{'':36}ms a step   steps/s")
    for case, value in seconds.items():
        print(f"{case:36}{1e3 * value:9.0f} {1 / value:9.2f}")
    result = {
        "batch_size": batch_size,
        "ms": {case: round(1e3 * value, 1) for case, value in seconds.items()},
        "speed_up_over_one_core": round(whole / workers, 3),
        "efficiency": round(whole / workers / 2, 3),
        "exchange_ms": round(1e3 * (workers - half), 1),
        "over_one_process_with_two_cores": round(both / workers, 3),
        "gradient_bytes": last["gradient_bytes"],
        "sent_bytes": round(last["sent_bytes"]),
    }
    print(f"speed-up of two workers over one core: {result['speed_up_over_one_core']:.2f}")
    print(
        f"efficiency: {result['efficiency']:.2f}; exchange and waiting: {result['exchange_ms']} ms"
    )
    print(f"gradient: {last['gradient_bytes'] / 1e6:.1f} MB a step, and both workers together sent "
          f"{last['sent_bytes'] / 1e6:.1f} MB")  # fmt: skip
    print(f"\nprojection{'':25}GPUs  link                 compute  exchange, ms  efficiency")
    weights = _NETWORKS["MNIST minimal, 256 images a GPU"][1]
    result["projection"] = _project(last["gradient_bytes"] / weights)
    for row in result["projection"]:
        print(
            f"{row['network']:33}{row['gpus']:6}  {row['link']:20}{row['compute_ms']:8.2f}"
            f"{row['exchange_ms']:14.2f}{row['efficiency']:12.2f}"
        )
    print(json.dumps(result))


if __name__ == "__main__":
    app.run(main)
