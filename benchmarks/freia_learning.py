"""Whether this package learns as FrEIA does: the minimal MNIST network on Fashion-MNIST, by both.

Both start with the same weights and are given the same batches in the same order, noise included,
at the rates of the published example; after each epoch both are given the test images.

    python benchmarks/freia_learning.py --idx_dir=/usr/share/datasets/fashion-mnist \
        [--epochs=3] [--output=docs/images/freia_learning.png]

Needs `pip install "tfp-cinn[freia]"` and the files of Debian's dataset-fashion-mnist.
"""

import json
import math

import freia_tf
import freia_torch
import matplotlib
import numpy as np
import tqdm
from absl import app, flags

from tfp_cinn import data

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

_IDX_DIR = flags.DEFINE_string("idx_dir", None, "Folder of the IDX files.", required=True)
_EPOCHS = flags.DEFINE_integer("epochs", 3, "How often all images are seen.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 256, "Images a batch.", lower_bound=1)
_THREADS = flags.DEFINE_integer("threads", 2, "Threads of each side.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", "freia_learning.png", "The picture to write.")
_NOISE_STD = 0.08  # standard deviations of the pixels, as published


def main(_):
    size = _BATCH_SIZE.value
    # Before any data: TensorFlow's threads are set up once.
    nothing = np.zeros((size, 28, 28, 1), np.float32), np.zeros(size, np.int32)
    arguments = "mnist_minimal", *nothing, _THREADS.value
    sides = {"tfp_cinn": freia_tf.Side(*arguments), "FrEIA": freia_torch.Side(*arguments)}
    ours, theirs = sides.values()
    theirs.load(ours.weights(theirs.names()))
    images = data.load("fashion_mnist", idx_dir=_IDX_DIR.value)

    def standardized(x):
        return (x.numpy() - images.mean) / images.std

    noisy = data.dequantize(_NOISE_STD * images.std)
    train = data.training_batches(images.train, size, noisy)
    test = [
        (standardized(x), cond.numpy())
        for x, cond in data.evaluation_batches(images.test, size)
        if len(cond) == size
    ]
    to_bits = 1 / math.log(2)
    losses = {name: [] for name in sides}
    tests = {name: [] for name in sides}

    def evaluate():
        for name, side in sides.items():
            nats = []
            for batch in test:
                side.give(*batch)
                nats.append(-side.log_prob().mean() / images.train.images[0].size)
            tests[name].append((float(np.mean(nats)) + math.log(images.std)) * to_bits)

    for epoch in range(_EPOCHS.value):
        for x, cond in tqdm.tqdm(train, desc=f"epoch {epoch + 1}", unit="step"):
            for name, side in sides.items():
                side.give(standardized(x), cond.numpy())
                loss = side.step() + 0.5 * math.log(2 * math.pi) + math.log(images.std)
                losses[name].append(loss * to_bits)
        evaluate()

    print(
        f"{'test, bits/dim, after epoch':30}" + "".join(f"{k + 1:>9}" for k in range(_EPOCHS.value))
    )
    for name, values in tests.items():
        print(f"{name:30}" + "".join(f"{v:9.4f}" for v in values))
    steps = len(losses["FrEIA"]) // _EPOCHS.value
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for (name, values), style in zip(losses.items(), ("-", "--"), strict=True):
        axes.plot(np.arange(1, len(values) + 1), values, style, linewidth=1, label=f"{name}, steps")
    for (name, values), marker in zip(tests.items(), "ox", strict=True):
        at = steps * np.arange(1, len(values) + 1)
        axes.plot(at, values, marker, markersize=8, fillstyle="none", label=f"{name}, test images")
    axes.set(xlabel="step", ylabel="bits/dim", ylim=(None, np.percentile(losses["FrEIA"], 98)))
    axes.set_title("The same network, start, batches and noise, on Fashion-MNIST")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(_OUTPUT.value, dpi=120)
    largest = float(np.max(np.abs(np.subtract(*losses.values()))))
    print(json.dumps({"test_bits_per_dim": tests, "largest_difference_of_a_step": largest}))


if __name__ == "__main__":
    app.run(main)
