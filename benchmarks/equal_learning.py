"""Whether 1, 2 and 4 replicas learn the same from the same batches.

Trains a small flow of digits on one device and on 2 and 4 virtual devices of this machine's CPU,
and compares losses and weights.

    python benchmarks/equal_learning.py [--epochs=3]
"""

import csv
import json
import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from absl import app, flags

_EPOCHS = flags.DEFINE_integer("epochs", 3, "Epochs.", lower_bound=1)


def make_devices(count):
    """Divide the CPU into virtual devices; before anything else is done with TensorFlow."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    tf.config.set_logical_device_configuration(cpu, parts)


def small_config(epochs=3):
    """A flow that trains in seconds; its gradients are clipped, no batch of it is even."""
    from tfp_cinn.training import default_config

    config = default_config()
    config.data.name = "digits"
    config.data.num_validation = 147  # the last batch has 19 images: parts of 4 and 5
    config.model.update({"blocks": 2, "hidden": (16,), "act_norm": True, "weight_prior": 1e-3})
    config.train.update({"epochs": epochs, "batch_size": 128, "milestones": (), "clip_norm": 0.3})
    return config.to_dict()


def train_on(replicas, config, workdir):
    """Train on the first so many devices; return the model and the figures of every epoch."""
    from tfp_cinn.training import strategy, train

    devices = [f"CPU:{k}" for k in range(replicas)]
    # In one process, the groups of devices of two strategies would go by the same names.
    tf.distribute.MirroredStrategy._collective_key_base += 1000
    strategy._mirrored = lambda: tf.distribute.MirroredStrategy(devices)
    model = train(config, workdir, "none" if replicas == 1 else "mirrored")
    with open(workdir / "metrics.csv") as file:
        return model, list(csv.DictReader(file))


def compare(epochs, counts=(1, 2, 4)):
    """Losses of each number of replicas, and how far they and the weights are from those of one."""
    config, results, first = small_config(epochs), {}, None
    for count in counts:
        with tempfile.TemporaryDirectory() as workdir:
            model, rows = train_on(count, config, pathlib.Path(workdir))
        weights = np.concatenate([w.ravel() for w in model.get_weights()])
        curves = {
            name: [float(row[name]) for row in rows]
            for name in ("loss", "val_loss", "nats_per_dim", "val_nats_per_dim")
        }
        first = first or (weights, curves)
        apart = max(
            float(np.abs(np.subtract(curves[name], first[1][name])).max()) for name in curves
        )
        results[count] = {
            **curves,
            "losses_apart": apart,
            "weights_apart": float(np.abs(weights - first[0]).max()),
        }
    return results


def main(_):
    make_devices(4)
    results = compare(_EPOCHS.value)
    print("replicas  training loss of each epoch, nats/dim   losses apart  weights apart")
    for count, result in results.items():
        losses = "  ".join(f"{loss:.6f}" for loss in result["loss"])
        apart = f"{result['losses_apart']:12.1e}  {result['weights_apart']:13.1e}"
        print(f"{count:8}  {losses:38}  {apart}")
    print(json.dumps(results))


if __name__ == "__main__":
    app.run(main)
