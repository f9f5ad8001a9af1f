"""The sides of inference.py: each trains on the same pairs and answers the same questions.

A side is made of the pairs and a seed. It is trained for a number of epochs, and then gives
`log_prob(x, cond)` `[N]` in nats and `sample(cond, num)` `[N, num, D]`.
"""

import pathlib
import sys
import tempfile
import time

import numpy as np

_VALIDATION = 0.05
_BATCH = 256


class _Side:
    def start(self):
        """Train a little; return CPU seconds until the first epoch, and of an epoch."""
        self.train(1)
        begin = time.process_time()
        # What the first epoch compiles costs both.
        one, few = (_cpu(self.train, epochs)[0] for epochs in (1, 3))
        epoch = (few - one) / 2
        return begin - epoch, epoch


class Ours(_Side):
    """`tfp-cinn train --config=arrays` with its defaults, but for pictures."""

    fields = {}
    """Fields of the config that differ, by name."""

    def __init__(self, pairs, seed, bounds):
        from tfp_cinn import tasks

        @tasks.register("pairs")
        class Pairs(tasks.Arrays):
            def draw_samples(self, model, workdir):
                pass

        self._config = tasks.Arrays.default_config()
        self._config.data.task = "pairs"
        self._config.data.update(
            train=pairs, bounds=bounds, validation_fraction=_VALIDATION, test_fraction=0.0
        )
        self._config.train.seed = seed
        self._config.update_from_flattened_dict(self.fields)

    def train(self, epochs):
        from tfp_cinn.training import train

        self._config.train.epochs = epochs
        with tempfile.TemporaryDirectory() as folder:
            self._dist = train(self._config, pathlib.Path(folder) / "run").distribution

    def _condition(self, cond):
        if cond.ndim == 2:
            return np.float32(cond)
        return {"points": np.float32(cond), "points_mask": np.ones(cond.shape[:2], np.float32)}

    def log_prob(self, x, cond):
        return self._dist.log_prob(np.float32(x), self._condition(cond)).numpy()

    def sample(self, cond, num):
        return np.swapaxes(self._dist.sample(self._condition(cond), num, seed=1).numpy(), 0, 1)


class _Rival(_Side):
    """What has the pairs as arrays, by name `x` and `cond`."""

    def __init__(self, pairs, seed, bounds):
        with np.load(pairs) as arrays:
            self._x = np.float32(arrays["x"])
            self._cond = np.float32(arrays["cond" if "cond" in arrays else "cond_points"])
        self._seed, self._bounds = seed, bounds


class BayesFlow(_Rival):
    """`BasicWorkflow` with a `CouplingFlow`, a `DeepSet` for points; its bounds, the best epoch."""

    def __init__(self, pairs, seed, bounds, transform):
        super().__init__(pairs, seed, bounds)
        self._transform = transform

    def start(self):
        self.train(3)
        first, second, third = self._ticks
        return first - (third - second), third - second

    def train(self, epochs):
        import bayesflow as bf
        import keras

        keras.utils.set_random_seed(self._seed)
        points = self._cond.ndim == 3
        adapter = bf.Adapter().convert_dtype("float64", "float32")
        if self._bounds is not None:
            low, high = self._bounds
            adapter = adapter.constrain("x", lower=low, upper=high)
        adapter = adapter.rename("x", "inference_variables")
        adapter = adapter.rename("cond", "summary_variables" if points else "inference_conditions")
        self._workflow = bf.BasicWorkflow(
            adapter=adapter,
            inference_network=bf.networks.CouplingFlow(transform=self._transform),
            summary_network=bf.networks.DeepSet(summary_dim=16) if points else None,
            standardize="all",
        )
        held = int(_VALIDATION * len(self._x))
        parts = (slice(held, None), slice(0, held))
        train, valid = ({"x": self._x[part], "cond": self._cond[part]} for part in parts)
        best = keras.callbacks.EarlyStopping("val_loss", patience=epochs, restore_best_weights=True)
        self._ticks = []
        tick = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_: self._ticks.append(time.process_time())
        )
        self._workflow.fit_offline(
            train, epochs, _BATCH, validation_data=valid, callbacks=[best, tick], verbose=0
        )

    def log_prob(self, x, cond):
        log_prob = self._workflow.log_prob({"x": np.float32(x), "cond": np.float32(cond)})
        return np.asarray(log_prob).reshape(len(x))

    def sample(self, cond, num):
        drawn = self._workflow.sample(num_samples=num, conditions={"cond": np.float32(cond)})
        return np.asarray(drawn["x"])


class _Torch(_Rival):
    """What is written for PyTorch: points as a vector."""

    def __init__(self, pairs, seed, bounds):
        import torch

        super().__init__(pairs, seed, bounds)
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self._torch = torch
        self._x = torch.as_tensor(self._x)
        self._cond = self._vectors(self._cond)

    def _vectors(self, cond):
        return self._torch.as_tensor(np.float32(cond)).flatten(1)


class Zuko(_Torch):
    """`NSF`, standardized, by Adam with a cosine schedule; the best epoch."""

    def train(self, epochs):
        import zuko

        torch, x, cond = self._torch, self._x, self._cond
        self._moments = [(t.mean(0), t.std(0)) for t in (x, cond)]
        x, cond = self._standardized(x, cond)
        self._flow = zuko.flows.NSF(
            x.shape[1], cond.shape[1], transforms=5, hidden_features=(64, 64)
        )
        optimizer = torch.optim.Adam(self._flow.parameters(), 1e-3)
        held = int(_VALIDATION * len(x))
        steps = (len(x) - held) // _BATCH
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
        best = np.inf
        for _ in range(epochs):
            for rows in (held + torch.randperm(len(x) - held)).split(_BATCH)[:steps]:
                optimizer.zero_grad()
                (-self._flow(cond[rows]).log_prob(x[rows]).mean()).backward()
                torch.nn.utils.clip_grad_norm_(self._flow.parameters(), 5.0)
                optimizer.step()
                schedule.step()
            with torch.no_grad():
                loss = float(-self._flow(cond[:held]).log_prob(x[:held]).mean())
            if loss < best:
                best = loss
                weights = {k: v.clone() for k, v in self._flow.state_dict().items()}
        self._flow.load_state_dict(weights)

    def _standardized(self, *tensors):
        return [(t - m) / s for t, (m, s) in zip(tensors, self._moments, strict=True)]

    def log_prob(self, x, cond):
        x, cond = self._standardized(self._torch.as_tensor(np.float32(x)), self._vectors(cond))
        with self._torch.no_grad():
            return (self._flow(cond).log_prob(x) - self._moments[0][1].log().sum()).numpy()

    def sample(self, cond, num):
        mean, std = self._moments[0]
        (cond_mean, cond_std) = self._moments[1]
        with self._torch.no_grad():
            drawn = self._flow((self._vectors(cond) - cond_mean) / cond_std).sample((num,))
            return (drawn * std + mean).swapaxes(0, 1).numpy()


class SBI(_Torch):
    """`NPE` with its "nsf", its stopping and its best epoch; samples outside bounds are redrawn."""

    def train(self, epochs):
        from sbi.inference import NPE
        from sbi.utils import BoxUniform

        torch, size = self._torch, self._x.shape[1]
        if self._bounds is None:
            prior = torch.distributions.MultivariateNormal(
                torch.zeros(size), torch.diag(self._x.var(0))
            )
        else:
            low, high = (side * torch.ones(size) for side in self._bounds)
            prior = BoxUniform(low, high)
        trainer = NPE(prior, density_estimator="nsf", show_progress_bars=False)
        trainer.append_simulations(self._x, self._cond)
        self._network = trainer.train(
            training_batch_size=_BATCH, validation_fraction=_VALIDATION, max_num_epochs=epochs
        )
        self._posterior = trainer.build_posterior()

    def log_prob(self, x, cond):
        with self._torch.no_grad():
            x = self._torch.as_tensor(np.float32(x))[None]
            return self._network.log_prob(x, self._vectors(cond))[0].numpy()

    def sample(self, cond, num):
        drawn = self._posterior.sample_batched(
            (num,), self._vectors(cond), show_progress_bars=False
        )
        return drawn.swapaxes(0, 1).numpy()


SIDES = {
    "ours": Ours,
    "bayesflow_affine": lambda *args: BayesFlow(*args, "affine"),
    "bayesflow_spline": lambda *args: BayesFlow(*args, "spline"),
    "zuko_nsf": Zuko,
    "sbi_npe": SBI,
}


def _cpu(call, *args):
    """Return CPU seconds of a call, and what it returns."""
    begin = time.process_time()
    value = call(*args)
    return time.process_time() - begin, value


def answer(name, questions, seconds, seed, output):
    """Train a side for so many CPU seconds after its first epoch, and write its answers."""
    with np.load(questions, allow_pickle=True) as arrays:
        questions = dict(arrays)
    bounds = questions["bounds"].tolist()
    side = SIDES[name](str(questions["pairs"]), seed, bounds and tuple(bounds))
    start_up, epoch = side.start()
    epochs = max(2, round(seconds / epoch))
    print(f"{name}: start-up {start_up:.1f} s, {epochs} epochs of {epoch:.2f} s", flush=True)
    trained, _ = _cpu(side.train, epochs)
    print(f"{name}: trained in {trained:.1f} s", flush=True)
    answers = {"start_up": start_up, "epochs": epochs, "train": trained}
    answers["log_prob"] = side.log_prob(questions["x"], questions["cond"])
    drawn = [_cpu(side.sample, each[None], 10_000) for each in questions["observations"]]
    answers["posterior"] = np.concatenate([draws for _, draws in drawn])
    answers["draws_of_one"] = np.median([each for each, _ in drawn])
    cond = questions["cond"][:1000]
    side.sample(cond, 100)  # compiles
    answers["draws_of_1000"], answers["draws"] = _cpu(side.sample, cond, 100)
    np.savez(output, **answers)


if __name__ == "__main__":
    answer(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
