"""What a process with four virtual CPU devices finds; printed as one line of JSON.

A process of its own, since devices can't be divided once TensorFlow has used them.
"""

import json
import pathlib
import sys

import equal_learning
import keras
import numpy as np
import tensorflow as tf

equal_learning.make_devices(4)

from tfp_cinn import CINN, NonFiniteError, UsageError, load_model  # noqa: E402
from tfp_cinn.bijectors import Chain, Flatten, GlowCoupling, SoftPermutation  # noqa: E402
from tfp_cinn.networks import MLP, OneHot  # noqa: E402
from tfp_cinn.training.strategy import Replicas  # noqa: E402

CLIP = 0.05


def clipped_sgd(**options):
    return keras.optimizers.SGD(1.0, global_clipnorm=CLIP, **options)


def make_model(replicas, dropout=0.0, weight_prior=0.1, optimizer=None):
    """A small flow, the same each time, with the optimizer in which clipping shows most."""
    keras.utils.set_random_seed(0)
    with replicas.scope():
        chain = [Flatten()]
        for k in range(2):
            subnets = MLP([8], dropout=dropout, init_std=0.1, zero_last=False)
            chain += [SoftPermutation(k), GlowCoupling(subnets)]
        model = CINN(Chain(chain), (2, 2, 1), OneHot(3), (), weight_prior=weight_prior)
        model.compile((optimizer or clipped_sgd)())
        model.optimizer.build(model.trainable_variables)
    replicas.same_start(model)
    return model


def batch(rows=24):
    rng = np.random.RandomState(0)
    x = rng.randn(rows, 2, 2, 1).astype("float32") * np.linspace(0.1, 3, rows)[:, None, None, None]
    return x, rng.randint(0, 3, rows).astype("int32")


def step(replicas, model, *arrays):
    """Trains on one batch; returns by how much that moved the weights."""
    before = np.concatenate([w.numpy().ravel() for w in model.trainable_weights])
    batches = tf.data.Dataset.from_tensors(arrays).repeat()
    model.fit(replicas.split(batches), steps_per_epoch=1, verbose=0)
    return np.concatenate([w.numpy().ravel() for w in model.trainable_weights]) - before


def options_apart(alone, four):
    """By how much steps on one and on four devices differ, and how long they are."""
    x, label = batch()
    weight = np.linspace(0, 2, len(x)).astype("float32")
    scaled = lambda: keras.optimizers.LossScaleOptimizer(clipped_sgd())  # noqa: E731
    cases = {"weighted": (clipped_sgd, x, label, weight), "scaled": (scaled, x, label)}
    apart = {}
    for name, (optimizer, *arrays) in cases.items():
        one, other = (step(r, make_model(r, optimizer=optimizer), *arrays) for r in (alone, four))
        apart[name] = [float(np.abs(one - other).max()), float(np.abs(one).max())]
    return apart


def accumulated(replicas):
    """What is said of an optimizer that accumulates gradients."""
    try:
        make_model(replicas, optimizer=lambda: clipped_sgd(gradient_accumulation_steps=2))
        return ""
    except UsageError as error:
        return str(error)


def noise_of_replicas(replicas):
    """Losses of equal parts of a batch, which nothing but dropout can make differ."""
    model = make_model(replicas, dropout=0.5)
    x, label = (np.repeat(part[:1], 24, axis=0) for part in batch())
    losses = replicas._strategy.run(
        tf.function(lambda: model._batch_losses((x, label), training=True)[0])
    )
    return [float(loss) for loss in replicas._strategy.experimental_local_results(losses)]


def bad_row(replicas):
    """What is said of a NaN in replica 2's part, and whether it moved a weight."""
    model, (x, label) = make_model(replicas), batch()
    x[12] = np.nan  # the first of rows 12 to 17
    before = model.get_weights()
    try:
        step(replicas, model, x, label)
        message = ""
    except NonFiniteError as error:
        message = str(error)
    moved = any(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))
    return {"message": message, "moved": bool(moved)}


def uneven(replicas):
    """The likelihood of batches that can't be divided equally, the last of them of 2 rows."""
    model, (x, label) = make_model(replicas), batch(23)
    batches = tf.data.Dataset.from_tensor_slices((x, label)).batch(7)
    return model.evaluate(replicas.split(batches), steps=4, verbose=0, return_dict=True)


def main(folder):
    alone, four = Replicas(), Replicas("mirrored")
    x, label = batch()
    model = make_model(four)
    result = {
        "replicas": four.count,
        "step": {
            "alone": step(alone, make_model(alone), x, label).tolist(),
            "four": step(four, model, x, label).tolist(),
        },
        "options": options_apart(alone, four),
        "accumulated": accumulated(four),
        "noise": noise_of_replicas(four),
        "bad_row": bad_row(four),
        "uneven": {"alone": uneven(alone), "four": uneven(four)},
    }
    path = folder / "model.keras"
    model.save(path)
    saved = load_model(path)
    apart = [np.abs(a - b).max() for a, b in zip(saved.weights, model.weights, strict=True)]
    result["saved_apart"] = float(max(apart))
    result["learning"] = equal_learning.compare(epochs=2, counts=(1, 4))
    print(json.dumps(result))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
