"""What the package costs over a flow written by hand.

The network of the paper's minimal MNIST example (784 dimensions, 20 Glow blocks, subnets 512 wide)
three ways, alternating in one run: this package, a plain TensorFlow loop of the same network with
the same weights, optimizer and data, and nothing but its matrix products.

    python benchmarks/overhead.py [--batch_size=256] [--rounds=12]
"""

import json
import math
import time

import keras
import measure
import minimal
import numpy as np
import tensorflow as tf
from absl import app, flags

import tfp_cinn

_BATCH_SIZE = flags.DEFINE_integer("batch_size", 256, "Images a batch.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 12, "How often each is measured.", lower_bound=2)
_STEPS = flags.DEFINE_integer("steps", 4, "Training steps a round.", lower_bound=2)
_PEAK = flags.DEFINE_enum("peak", None, ["package", "by hand"], "Only print peak memory, bytes.")


def _optimizer():
    return keras.optimizers.Adam(5e-4, global_clipnorm=10.0)


def _make_model():
    model, mean, std = minimal.make_model()
    model.compile(_optimizer())
    return model, mean, std


class ByHand:
    """The same flow as plain TensorFlow: lists of weights and one function for each direction."""

    def __init__(self, model, mean, std):
        self.mean, self.std = mean, std
        self.permutations = [np.random.RandomState(k).permutation(784) for k in range(20)]
        weights = [tf.Variable(w) for w in model.get_weights()]
        self.blocks = [(weights[k : k + 4], weights[k + 4 : k + 8]) for k in range(0, 160, 8)]
        # Keras's optimizer as well: optimizers are not what is compared here.
        self.weights, self.optimizer = weights, _optimizer()
        self.optimizer.build(weights)

    @staticmethod
    def params(weights, passive, cond):
        w1, b1, w2, b2 = weights
        hidden = tf.nn.relu(tf.matmul(tf.concat([passive, cond], 1), w1) + b1)
        s, t = tf.split(tf.matmul(hidden, w2) + b2, 2, axis=1)
        return 0.636 * tf.atan(s), t

    def log_prob(self, x, label):
        cond = tf.one_hot(label, 10)
        h = tf.reshape((x - self.mean) / self.std, [-1, 784])
        log_det = -784 * math.log(self.std)
        for permutation, (first, second) in zip(self.permutations, self.blocks, strict=True):
            u, v = tf.split(tf.gather(h, permutation, axis=1), 2, axis=1)
            s, t = self.params(first, v, cond)
            u = u * tf.exp(s) + t
            log_det += tf.reduce_sum(s, 1)
            s, t = self.params(second, u, cond)
            v = v * tf.exp(s) + t
            log_det += tf.reduce_sum(s, 1)
            h = tf.concat([u, v], 1)
        return log_det - 0.5 * tf.reduce_sum(h**2, 1) - 392 * math.log(2 * math.pi)

    def sample(self, label, seed):
        cond = tf.one_hot(label, 10)
        h = tf.random.stateless_normal([label.shape[0], 784], seed)
        for permutation, (first, second) in zip(
            self.permutations[::-1], self.blocks[::-1], strict=True
        ):
            u, v = tf.split(h, 2, axis=1)
            s, t = self.params(second, u, cond)
            v = (v - t) * tf.exp(-s)
            s, t = self.params(first, v, cond)
            u = (u - t) * tf.exp(-s)
            h = tf.gather(tf.concat([u, v], 1), np.argsort(permutation), axis=1)
        return tf.reshape(h * self.std + self.mean, [-1, 28, 28, 1])

    @tf.function
    def step(self, x, label):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(self.log_prob(x, label)) / 784
            loss += minimal.WEIGHT_PRIOR * tf.add_n([tf.nn.l2_loss(w) for w in self.weights])
        gradients = tape.gradient(loss, self.weights)
        self.optimizer.apply_gradients(zip(gradients, self.weights, strict=True))
        return loss


class StepTimer(keras.callbacks.Callback):
    """Seconds of each training step but the first of a `fit`, and the loss of the first."""

    def __init__(self):
        super().__init__()
        self.seconds, self.losses, self._last = [], [], None

    def on_epoch_begin(self, epoch, logs=None):
        self._last = None

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self._last is not None:
            self.seconds.append(now - self._last)
        self._last = now
        if batch == 0:  # later ones are means over the epoch so far
            self.losses.append(float(logs["loss"]))


def _batches(batch_size):
    rng = np.random.RandomState(1)
    x = rng.rand(batch_size, 28, 28, 1).astype("float32") * 256
    return tf.constant(x), tf.constant(rng.randint(0, 10, batch_size).astype("int32"))


def _fit(model, batch, steps, timer):
    batches = tf.data.Dataset.from_tensors(batch).repeat(steps)
    model.fit(batches, verbose=0, callbacks=[timer])


def _print_peak(which):
    model, mean, std = _make_model()
    x, label = _batches(_BATCH_SIZE.value)
    if which == "package":
        _fit(model, (x, label), 3, StepTimer())
    else:
        by_hand = ByHand(model, mean, std)
        del model
        for _ in range(3):
            by_hand.step(x, label)
    print(measure.memory())


def main(_):
    if _PEAK.value:
        _print_peak(_PEAK.value)
        return
    model, mean, std = _make_model()
    by_hand = ByHand(model, mean, std)
    x, label = _batches(_BATCH_SIZE.value)
    seed = tf.constant([0, 1])
    one_pass, train_products = minimal.products(_BATCH_SIZE.value)
    calls = {
        ("log_prob", "package"): tf.function(lambda: model.distribution.log_prob(x, label)),
        ("log_prob", "by hand"): tf.function(lambda: by_hand.log_prob(x, label)),
        ("log_prob", "products"): one_pass,
        ("sample", "package"): tf.function(lambda: model.distribution.sample(label, seed=seed)),
        ("sample", "by hand"): tf.function(lambda: by_hand.sample(label, seed)),
        ("sample", "products"): one_pass,
        ("train step", "products"): train_products,
    }
    results = {key: np.asarray(call()) for key, call in calls.items()}  # traces as well
    for name, atol in (("log_prob", 1e-1), ("sample", 1e-1)):
        # log_prob is of the order of 5000 nats, x of 256 gray levels.
        np.testing.assert_allclose(
            results[name, "package"], results[name, "by hand"], rtol=1e-4, atol=atol
        )

    timer, hand_losses = StepTimer(), []
    seconds = {(n, w): [] for n in ("train step", "log_prob", "sample")
               for w in ("package", "by hand", "products")}  # fmt: skip
    for round_ in range(_ROUNDS.value + 1):  # the first one warms up
        already = len(timer.seconds)
        _fit(model, (x, label), _STEPS.value, timer)
        hand = []
        for _ in range(_STEPS.value):
            start = time.perf_counter()
            hand_losses.append(float(by_hand.step(x, label)))
            hand.append(time.perf_counter() - start)
        if round_:
            seconds["train step", "package"] += timer.seconds[already:]
            seconds["train step", "by hand"] += hand[1:]
        for _ in range(4):
            elapsed = {key: measure.seconds(call) for key, call in calls.items()}
            for key in calls if round_ else ():
                seconds[key].append(elapsed[key])
    # Same weights, same data: the two have to learn the same, until training has amplified what
    # their orders of addition leave of float32.
    np.testing.assert_allclose(timer.losses[:3], hand_losses[:: _STEPS.value][:3], rtol=1e-4)

    result = {"batch_size": _BATCH_SIZE.value, "tfp_cinn": tfp_cinn.__version__}
    print(f"{'ms, median [quartiles]':24}{'package':>24}{'by hand':>24}{'products':>24}  ratio")
    for name in ("train step", "log_prob", "sample"):
        cells, medians = "", {}
        for which in ("package", "by hand", "products"):
            low, median, high = measure.quartiles(1e3 * np.array(seconds[name, which]))
            cells += f"{f'{median:.0f} [{low:.0f}, {high:.0f}]':>24}"
            medians[which] = round(float(median), 2)
        ratio = measure.ratio(seconds[name, "package"], seconds[name, "by hand"])
        print(f"{name:24}{cells}  {ratio:.3f}")
        result[name] = {"ms": medians, "ratio": round(ratio, 4)}
    peaks = {which: int(measure.rerun(f"--peak={which}")) for which in ("package", "by hand")}
    cells = "".join(f"{f'{peak / 2**30:.2f} GiB':>24}" for peak in peaks.values())
    print(f"{'peak memory, training':24}{cells}{'':24}  {peaks['package'] / peaks['by hand']:.3f}")
    result["peak_bytes"] = peaks
    print(json.dumps(result))


if __name__ == "__main__":
    app.run(main)
