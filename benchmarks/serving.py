"""What an exported flow costs to serve.

The network of the paper's minimal MNIST example, exported, and run in a C++ session, as TensorFlow
Serving runs models; beside the same flow called in Python, its matrix products alone, and an export
whose noise comes of one seed a batch.
All alternate in one run.

    python benchmarks/serving.py [--batch_sizes=1,16,64,256] [--calls=200]

    python benchmarks/serving.py --rows_of=models/digits/1    # how far a row depends on its batch
    python benchmarks/serving.py --pair=models/plain/1,models/xla/1    # two exports, in turn

There is no network and no server in it: what a server adds to each request isn't measured.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import keras
import measure
import minimal
import numpy as np
import tensorflow as tf
from absl import app, flags, logging

import tfp_cinn
from tfp_cinn import export
from tfp_cinn.export import session

_BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["1", "16", "64", "256"], "Rows a request.")
_CALLS = flags.DEFINE_integer("calls", 200, "Requests of each kind.", lower_bound=10)
_CALLERS = flags.DEFINE_integer("callers", 32, "Callers of one row at a time.", lower_bound=1)
_ROWS_OF = flags.DEFINE_string("rows_of", None, "Only compare rows alone and in batches of this.")
_PAIR = flags.DEFINE_list("pair", None, "Only compare the times of two exports.")
_REPLICA = flags.DEFINE_string("replica", None, "Only serve the model here, and print rows/s.")

_INPUTS = ("cond", "seed", "temperature")
_REPLICA_ROWS = 64


def _rows(count, seed=0):
    rng = np.random.RandomState(seed)
    return {
        "cond": rng.randint(0, 10, count).astype(np.int32),
        "seed": rng.randint(0, 2**31 - 1, (count, 2)).astype(np.int32),
        "temperature": np.ones(count, np.float32),
    }


def _export_one_seed(model, path):
    """The same model with noise that costs one operation a batch; its rows aren't reproducible."""

    def sample(cond, seed, temperature):
        noise = tf.random.stateless_normal([tf.shape(cond)[0], 784], seed[0], alg="philox")
        return {"x": model.distribution.decode(noise * temperature[:, None], cond)}

    archive = keras.export.ExportArchive()
    specs = [tf.TensorSpec([None], tf.int32, "cond"), tf.TensorSpec([None, 2], tf.int32, "seed")]
    specs.append(tf.TensorSpec([None], tf.float32, "temperature"))
    archive.add_endpoint("sample", sample, specs)
    archive.write_out(str(path), verbose=False)


def _by_batch_size(model, loaded, one_seed):
    """Latencies of requests of each batch size, kinds alternating."""
    results = {}
    print(f"{'sample, ms a request':22}{'rows/s':>9}{'p50':>9}{'p99':>9}{'Python':>9}{'ratio':>8}"
          f"{'products':>10}{'one seed':>10}{'noise':>8}")  # fmt: skip
    for size in map(int, _BATCH_SIZES.value):
        inputs = _rows(size)
        cond = tf.constant(inputs["cond"])
        draw = tf.function(lambda cond, seed: model.distribution.sample(cond, seed=seed))
        one_pass, _ = minimal.products(size)
        calls = {
            "served": lambda inputs=inputs: loaded.predict("sample", inputs),
            "python": lambda draw=draw, cond=cond: draw(cond, tf.constant([0, 1])).numpy(),
            "products": lambda one_pass=one_pass: one_pass().numpy(),
            "one seed": lambda inputs=inputs: one_seed.predict("sample", inputs),
        }
        for _ in range(5):
            for call in calls.values():
                call()
        seconds = {name: [] for name in calls}
        for _ in range(_CALLS.value):
            for name, call in calls.items():
                seconds[name].append(measure.seconds(call))
        ms = {name: 1e3 * np.array(s) for name, s in seconds.items()}
        p50, p99 = np.percentile(ms["served"], [50, 99])
        medians = {name: float(np.median(each)) for name, each in ms.items()}
        ratio = measure.ratio(ms["served"], ms["python"])
        noise = measure.ratio(ms["served"], ms["one seed"]) - 1
        rows = 1e3 * size / p50
        print(f"{f'batch {size}':22}{rows:9.0f}{p50:9.2f}{p99:9.2f}{medians['python']:9.2f}"
              f"{ratio:8.3f}{medians['products']:10.2f}{medians['one seed']:10.2f}"
              f"{100 * noise:7.1f}%")  # fmt: skip
        results[size] = {
            "rows_per_second": round(rows, 1),
            "p50_ms": round(p50, 3),
            "p99_ms": round(p99, 3),
            "ratio_to_python": round(ratio, 4),
            "noise_cost": round(noise, 4),
            "median_ms": {name: round(median, 3) for name, median in medians.items()},
        }
    return results


def _by_callers(path, loaded):
    """Many callers of one row each: one by one, and through TensorFlow's own batching."""
    model = tf.saved_model.load(path)
    specs = model.signatures["sample"].structured_input_signature[1]

    @tf.nondifferentiable_batch_function(2, 64, 2000, allowed_batch_sizes=list(export.BATCH_SIZES))
    def batched(*inputs):
        return model.signatures["sample"](**dict(zip(_INPUTS, inputs, strict=True)))["x"]

    batched = tf.function(batched, [specs[name] for name in _INPUTS])
    batched(*(tf.constant(_rows(1)[name]) for name in _INPUTS))  # traced here, not by all at once
    requests = _rows(_CALLS.value * 4)
    results = {}
    print(f"\n{f'{_CALLERS.value} callers of one row':22}{'rows/s':>9}{'p50':>9}{'p99':>9}")
    for name, call in {
        "each by itself": lambda row: loaded.predict("sample", row),
        "in batches": lambda row: batched(*(tf.constant(row[n]) for n in _INPUTS)).numpy(),
    }.items():
        rows = [
            {n: v[k : k + 1] for n, v in requests.items()} for k in range(len(requests["cond"]))
        ]
        with concurrent.futures.ThreadPoolExecutor(_CALLERS.value) as pool:
            list(pool.map(call, rows[: _CALLERS.value]))
            start = time.perf_counter()
            seconds = list(
                pool.map(lambda row, call=call: measure.seconds(lambda: call(row)), rows)
            )
            rate = len(rows) / (time.perf_counter() - start)
        p50, p99 = np.percentile(1e3 * np.array(seconds), [50, 99])
        print(f"{name:22}{rate:9.0f}{p50:9.1f}{p99:9.1f}")
        results[name] = {
            "rows_per_second": round(rate, 1),
            "p50_ms": round(p50, 2),
            "p99_ms": round(p99, 2),
        }
    return results


def _by_replicas(path):
    """One process with all cores against two with half of them each, both at full load."""
    cores = len(os.sched_getaffinity(0))
    results = {}
    print(f"\n{f'batches of {_REPLICA_ROWS}':26}{'rows/s':>9}{'GiB each':>10}")
    for count in (1, 2):
        threads = str(max(1, cores // count))
        environment = {name: threads for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")}
        command = [sys.executable, __file__, f"--replica={path}"]
        replicas = [
            subprocess.Popen(
                command, env=os.environ | environment, stdin=-1, stdout=-1, stderr=-3, text=True
            )
            for _ in range(count)
        ]
        for replica in replicas:
            assert replica.stdout.readline() == "ready\n"
        for replica in replicas:
            replica.stdin.write("go\n")
            replica.stdin.flush()
        answers = [json.loads(replica.communicate()[0]) for replica in replicas]
        rate = sum(answer["rate"] for answer in answers)
        resident = max(answer["resident"] for answer in answers)
        name = f"{count} replica{'s' * (count > 1)}, {threads} thread{'s' * (threads != '1')} each"
        print(f"{name:26}{rate:9.0f}{resident / 2**30:10.2f}")
        results[name] = {"rows_per_second": round(rate, 1), "resident_bytes": resident}
    return results, max(answer["version"] for answer in answers)


def _serve_replica(path):
    inputs = _rows(_REPLICA_ROWS)
    loaded, resident = [], []
    for _ in range(2):  # the second as when a server swaps versions
        loaded.append(session.SavedModelSession(path))
        for _ in range(3):
            loaded[-1].predict("sample", inputs)
        resident.append(measure.memory("VmRSS"))
    loaded.pop().close()
    (loaded,) = loaded
    print("ready", flush=True)
    input()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < 10:
        loaded.predict("sample", inputs)
        count += 1
    rate = _REPLICA_ROWS * count / (time.perf_counter() - start)
    print(json.dumps({"rate": rate, "resident": resident[0], "version": resident[1] - resident[0]}))


def _compare_rows(path):
    """What the size of its batch makes of a row's sample, beside the row's largest pixel."""
    loaded = session.SavedModelSession(path)
    count = 256
    inputs = _rows(count)

    def draw(size):
        parts = [
            loaded.predict("sample", {name: value[k : k + size] for name, value in inputs.items()})[
                "x"
            ]
            for k in range(0, count, size)
        ]
        return np.concatenate(parts).reshape(count, -1)

    alone = draw(1)
    result = {"rows": count, "batch": {}}
    print(f"{count} rows: |x alone - x in a batch|, largest of a row, over the row's largest |x|")
    print(f"{'':12}{'median':>10}{'p99':>10}{'largest':>10}")
    for size in (4, 16, 64, 256):
        difference = np.abs(draw(size) - alone).max(1) / np.abs(alone).max(1)
        figures = dict(
            zip(("median", "p99", "largest"), np.percentile(difference, [50, 99, 100]), strict=True)
        )
        print(f"{f'batch {size}':12}" + "".join(f"{f:10.1e}" for f in figures.values()))
        result["batch"][size] = figures
    print(json.dumps(result))


def _compare_pair(paths):
    """Times of `sample` of two exports, asked in turn."""
    first, second = map(session.SavedModelSession, paths)
    result = {}
    print(f"{'sample, ms: median':22}{'first':>9}{'second':>9}{'second / first':>16}")
    for size in map(int, _BATCH_SIZES.value):
        inputs = _rows(size)
        calls = [
            lambda each=each, inputs=inputs: each.predict("sample", inputs)
            for each in (first, second)
        ]
        for call in calls * 5:
            call()
        ms = 1e3 * np.array(
            [[measure.seconds(call) for call in calls] for _ in range(_CALLS.value)]
        )
        medians = np.median(ms, 0)
        ratio = measure.ratio(ms[:, 1], ms[:, 0])
        print(f"{f'batch {size}':22}{medians[0]:9.2f}{medians[1]:9.2f}{ratio:16.3f}")
        result[size] = {"median_ms": medians.round(3).tolist(), "ratio": round(ratio, 4)}
    print(json.dumps(result))


def main(_):
    if _REPLICA.value:
        _serve_replica(_REPLICA.value)
        return
    if _ROWS_OF.value:
        _compare_rows(_ROWS_OF.value)
        return
    if _PAIR.value:
        _compare_pair(_PAIR.value)
        return
    logging.set_verbosity(logging.WARNING)
    model, _, _ = minimal.make_model()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        exporting = measure.seconds(lambda: export.export_model(model, folder / "minimal"))
        path = folder / "minimal" / "1"
        _export_one_seed(model, folder / "one_seed")
        replay = session.replay(path)
        loading = time.perf_counter()
        loaded = session.SavedModelSession(path)
        inputs = _rows(1)
        first = measure.seconds(lambda: loaded.predict("sample", inputs))
        loading = time.perf_counter() - loading
        one_seed = session.SavedModelSession(folder / "one_seed")
        size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())

        result = {"tfp_cinn": tfp_cinn.__version__, "weights": model.count_params()}
        result["batch"] = _by_batch_size(model, loaded, one_seed)
        result["callers"] = _by_callers(path, loaded)
        result["replicas"], version = _by_replicas(path)
    result["version"] = {
        "export_seconds": round(exporting, 2),
        "replay_seconds": replay["seconds"],
        "load_seconds": round(loading, 3),
        "first_request_ms": round(1e3 * first, 1),
        "resident_bytes": version,
        "file_bytes": size,
    }
    print(
        f"\na version: {size / 2**20:.0f} MiB of files, {version / 2**20:.0f} MiB in memory; "
        f"exported and checked in {exporting:.1f} s, warm-up replayed in {replay['seconds']:.1f} "
        f"s, loaded in {loading:.2f} s of which the first request, without warm-up, {first:.2f} s"
    )
    print(json.dumps(result))


if __name__ == "__main__":
    app.run(main)
