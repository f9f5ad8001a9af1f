"""One run: a method trained on a task, and measured."""

import json
import math
import pathlib
import shutil
import time

import numpy as np
import pandas as pd
import tensorflow as tf

from reproduction import pool
from reproduction.baselines import build
from reproduction.baselines import train as train_baseline
from reproduction.baselines.baseline import count_weights
from reproduction.tasks import TASKS
from tfp_cinn.training import pretrain, train

SEED = 100  # of samples; that of the run is added
COOLER = 0.8  # a temperature that flows are measured at as well, the paper's of its samples

_VAE_IMAGES = 2000  # for the bound of the likelihood, which takes many passes


def judge(job, folder, fast):
    """Train what judges the samples of a task."""
    task = TASKS[job.task](folder, fast, **job.fields)
    task.train_judge()
    return {}


def reference(job, folder, fast):
    """Figures of real data, and of images that need no model."""
    task = TASKS[job.task](folder, fast, **job.fields)
    if hasattr(task, "references"):
        return {"rows": task.references()}
    sampler = task.data_sampler()
    _save(folder, job.name, task.show(sampler, SEED))
    return {"rows": {"data": _plain(task.measure(sampler, SEED))}}


def features(job, folder, fast):
    """Train a conditioner by itself, for the runs that leave it as it is."""
    task = TASKS[job.task](folder, fast)
    start = time.process_time()
    pretrain(task.config, pathlib.Path(folder, f"{job.name}.weights.h5"), job.fields["epochs"])
    return {"train_seconds": time.process_time() - start}


def flow(job, folder, fast):
    """Train a cINN."""
    fields = {"train__seed": job.seed} | job.fields
    if job.variant == "frozen":
        weights = pathlib.Path(folder, f"{job.task}-conditioner.weights.h5")
        fields["model__pretrained"] = str(weights)
    task = TASKS[job.task](folder, fast, **fields)
    workdir = pathlib.Path(folder, "workdirs", job.name)
    shutil.rmtree(workdir, ignore_errors=True)  # of a run that was broken off
    start = time.process_time()
    model = train(task.config, workdir)
    seconds = time.process_time() - start
    log_prob = tf.function(model.distribution.log_prob)

    def nats(x, cond, _):
        return -log_prob(x, cond).numpy() / model.dimensions

    result = {
        "train_seconds": seconds,
        "weights": count_weights(model),
        "history": pd.read_csv(workdir / "metrics.csv").to_dict("records"),
    }
    result |= _measured(job, task, _flow_sampler(model), nats, None)
    if job.stage != "ablations":
        x, cond = next(iter(task.likelihood_batches()))
        z = model.distribution.encode(x, cond)
        again = model.distribution.decode(z, cond)
        result["figures"]["reconstruction"] = _relative(again, x)
        cooler = _flow_sampler(model, COOLER)
        result["figures_cooler"] = _plain(task.measure(cooler, SEED + job.seed))
    return result


def baseline(job, folder, fast):
    """Train a baseline for as long as the cINN of the same seed was."""
    task = TASKS[job.task](folder, fast, **job.fields)
    seed = job.seed
    flow = json.loads(pool.result_path(folder, job.needs[-1]).read_text())
    model = build(job.method, task.problem, seed)
    start = time.process_time()

    def progress(share, losses):
        shown = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
        print(f"{100 * share:.0f} %  {shown}", flush=True)

    history = train_baseline(model, task.problem, flow["train_seconds"], seed, progress)
    result = {
        "train_seconds": time.process_time() - start,
        "weights": count_weights(model),
        "sampling_weights": int(model.generator_weights),
        "history": history,
    }
    batch = next(iter(task.likelihood_batches()))
    bounded = model.nats_per_dim(*(a[:2] for a in batch), seed) is not None
    nats = model.nats_per_dim if bounded else None
    result |= _measured(job, task, model.sample, nats, _VAE_IMAGES)
    if hasattr(model, "reconstruct"):
        result["figures"]["reconstruction"] = _relative(model.reconstruct(*batch), batch[0])
    return result


def _measured(job, task, sampler, nats, limit):
    result = {"figures": {}}
    if nats:
        values = [
            nats(x, cond, SEED + number)
            for number, (x, cond) in enumerate(task.likelihood_batches(limit))
        ]
        result["figures"]["bits_per_dim"] = float(np.mean(np.concatenate(values)) / math.log(2))
    if job.stage == "ablations":
        return result
    seed = SEED + job.seed
    result["figures"] |= _plain(task.measure(sampler, seed))
    _save(task.folder, job.name, task.show(sampler, SEED))
    cond = task.timed_cond()
    seconds = []
    for repeat in range(6):
        start = time.process_time()
        sampler(cond, 1, repeat)
        seconds.append(time.process_time() - start)
    result["sample_ms"] = 1e3 * float(np.median(seconds[1:])) / len(cond)
    return result


def _flow_sampler(model, temperature=1.0):
    """The sampler of a trained flow."""
    draw = tf.function(
        lambda cond, count, seed: model.distribution.sample(cond, count, seed, temperature),
        reduce_retracing=True,
    )

    def sample(cond, num_samples, seed):
        cond = tf.convert_to_tensor(cond)
        key = np.random.SeedSequence(seed).generate_state(2).view(np.int32)
        return draw(cond, tf.constant(num_samples), tf.constant(key)).numpy()

    return sample


def _plain(figures):
    """Figures as JSON has them."""
    return {name: float(value) for name, value in figures.items()}


def _relative(again, x):
    """RMS error of a reconstruction, in percent of the data's standard deviation."""
    again, x = np.asarray(again, np.float64), np.asarray(x, np.float64)
    return 100 * float(np.sqrt(((again - x) ** 2).mean()) / x.std())


def _save(folder, name, arrays):
    path = pathlib.Path(folder, "pictures", f"{name}.npz")
    np.savez_compressed(path, **{key: np.asarray(value) for key, value in arrays.items()})
