"""Networks of this package on the device that JAX has, beside FrEIA on torch; no TensorFlow.

    python benchmarks/gpu.py --artifacts=artifacts [--freia] [--seconds=2]

Needs JAX, and with `--freia` torch and FrEIA, for that device; `gpu_artifacts.py` writes the
artifacts, on any machine. Answers, FrEIA's as well, are compared with TensorFlow's in float32 on a
CPU. Then each function is timed at each batch size, compilation apart: rows a second, share of the
card's peak, where it is known, and the memory that XLA plans for arguments, results and
temporaries, or that torch had at most. FrEIA is compiled by `torch.compile`, which takes minutes.
The last line is JSON. Runs on a CPU the same way; give `gpu_artifacts.py` small batch sizes.
"""

import argparse
import json
import os
import pathlib
import re
import time

# Leave memory to torch.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax  # noqa: E402
import numpy as np  # noqa: E402

# TFLOP/s without sparsity, from the data sheets; float32 without TF32.
_PEAKS = {
    "H100": {"float32": 67, "bfloat16": 989},
    "H200": {"float32": 67, "bfloat16": 989},
    "A100": {"float32": 19.5, "bfloat16": 312},
    "L4": {"float32": 30.3, "bfloat16": 121},
}
# Of an answer's largest value; bfloat16 has 8 bits.
_TOLERANCES = {"float32": 1e-4, "bfloat16": 0.1}


def _rows(inputs, count):
    return {key: np.resize(value, (count, *value.shape[1:])) for key, value in inputs.items()}


def _difference(got, expected):
    got, expected = np.asarray(got, np.float32), np.asarray(expected)
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def _seconds(call, budget):
    """Median seconds of a call that was made before, within a budget."""
    times, end = [], time.perf_counter() + budget
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


class _Function:
    """A function of the artifacts, compiled for the device for one batch size.

    Called, it returns its answers, on the CPU. A train step goes on from the last one.
    """

    def __init__(self, file, weights, inputs):
        exported = jax.export.deserialize(bytearray(file.read_bytes()))
        name, rows = file.stem.rsplit("-", 1)
        inputs = _rows(inputs, int(rows))
        self._trains = name == "train_step"
        if self._trains:
            trained = json.loads((file.parent / "train_step.json").read_text())["trained"]
            m, v = ({key: np.zeros_like(weights[key]) for key in trained} for _ in range(2))
            state = {"weights": weights, "m": m, "v": v, "step": np.float32(0)}
            arguments = state, inputs["x"], inputs["cond"]
        else:
            (_, takes), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
            arguments = weights, {key: inputs[key] for key in takes}
        self._arguments = jax.device_put(arguments)
        start = time.perf_counter()
        donated = (0,) if self._trains else ()
        lowered = jax.jit(exported.call, donate_argnums=donated).lower(*self._arguments)
        self._run = lowered.compile()
        self.compilation = time.perf_counter() - start
        self.flops = lowered.cost_analysis()["flops"]
        plan = self._run.memory_analysis()
        self.memory = (
            plan.argument_size_in_bytes
            + plan.output_size_in_bytes
            + plan.temp_size_in_bytes
            - plan.alias_size_in_bytes
        )

    def __call__(self):
        answer = self._run(*self._arguments)
        if self._trains:
            state, answer = answer
            self._arguments = jax.block_until_ready(state), *self._arguments[1:]
        return jax.device_get(answer)


def _check(name, rows, function, folder, answers):
    """Largest difference to TensorFlow's answers, relative to the largest value."""
    if name != "train_step":
        got = function()
        count = min(rows, len(next(iter(answers.values()))))
        return max(_difference(got[key][:count], answers[key][:count]) for key in got)
    got = [function(), function()]
    recorded = json.loads((folder / "train_step.json").read_text())
    # A larger batch repeats the rows of which the losses were recorded.
    return None if rows % recorded["rows"] else _difference(got, recorded["losses"])


class _Freia:
    """FrEIA with the same weights, by `torch.compile`."""

    def __init__(self, folder, dtype):
        import freia_torch
        import torch

        self._torch = torch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.backends.cudnn.allow_tf32 = False
        self._make = lambda x, cond: freia_torch.Side(
            folder.name, x, cond, torch.get_num_threads(), True, self.device, getattr(torch, dtype)
        )
        self._weights = dict(np.load(folder / "freia.npz"))
        self._inputs = dict(np.load(folder / "freia_inputs.npz"))
        self._tolerance, self._sides = _TOLERANCES[dtype], {}

    def measure(self, name, rows, budget):
        """Seconds of compilation and of a call, and bytes at most on a GPU."""
        if rows not in self._sides:
            inputs = _rows(self._inputs, rows)
            self._sides[rows] = self._make(inputs["x"], inputs["cond"])
            self._sides[rows].load(self._weights)
            difference = _difference(self._sides[rows].log_prob(), inputs["log_prob"])
            assert difference < self._tolerance, difference
        call = getattr(self._sides[rows], name.removeprefix("train_"))
        on_gpu = self.device == "cuda"
        if on_gpu:
            self._torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        call()  # its result is on the CPU, so that it is over
        compilation = time.perf_counter() - start
        seconds = _seconds(call, budget)
        return compilation, seconds, self._torch.cuda.max_memory_allocated() if on_gpu else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--artifacts", type=pathlib.Path, required=True)
    parser.add_argument("--freia", action="store_true", help="Also FrEIA on torch.")
    parser.add_argument("--seconds", type=float, default=2.0, help="Of each measurement.")
    parser.add_argument("--only", default="", help="Such as mnist_minimal, or bfloat16.")
    options = parser.parse_args()
    device = jax.devices()[0]
    card = next((peaks for name, peaks in _PEAKS.items() if name in device.device_kind), {})
    print(f"{device.platform}: {device.device_kind}, jax {jax.__version__}")
    print(f"{'':38}{'rows':>6}{'rows/s':>10}{'ms':>9}{'peak %':>8}{'MiB':>8}{'compiled s':>12}"
          f"{'difference':>12}{'FrEIA ms':>10}{'ratio':>7}{'MiB':>8}")  # fmt: skip
    results = []
    for folder in sorted(options.artifacts.iterdir()):
        inputs, answers = (dict(np.load(folder / f"{n}.npz")) for n in ("inputs", "answers"))
        for dtype in ("float32", "bfloat16"):
            if not (folder / dtype).exists() or options.only not in f"{folder.name}/{dtype}":
                continue
            weights = dict(np.load(folder / dtype / "weights.npz"))
            has_freia = options.freia and (folder / "freia.npz").exists()
            freia = _Freia(folder, dtype) if has_freia else None
            files = (folder / dtype).glob("*.jax")
            for file in sorted(files, key=lambda f: (f.stem.rsplit("-")[0], _size(f))):
                results.append(
                    {"network": folder.name, "dtype": dtype}
                    | _measured(file, weights, inputs, answers, freia, card, options.seconds)
                )
                _print(results[-1])
    print(json.dumps({"device": device.device_kind, "jax": jax.__version__, "results": results}))


def _size(file):
    return int(re.search(r"-(\d+)$", file.stem)[1])


def _measured(file, weights, inputs, answers, freia, card, budget):
    name, rows, dtype = file.stem.rsplit("-", 1)[0], _size(file), file.parent.name
    try:
        function = _Function(file, weights, inputs)
        difference = _check(name, rows, function, file.parent, answers)
        seconds = _seconds(function, budget)
    except RuntimeError as error:  # such as too little memory
        return {"function": name, "rows": rows, "error": str(error).splitlines()[0][:200]}
    if difference is not None:
        assert difference < _TOLERANCES[dtype], (file, difference)
    peak = card.get(dtype)
    result = {
        "function": name,
        "rows": rows,
        "ms": 1e3 * seconds,
        "rows_per_s": rows / seconds,
        "peak_share": peak and function.flops / seconds / (peak * 1e12),
        "memory_bytes": function.memory,
        "compilation_s": function.compilation,
        "difference": difference,
    }
    if freia:
        try:
            compilation, theirs, memory = freia.measure(name, rows, budget)
        except RuntimeError as error:
            return result | {"freia_error": str(error).splitlines()[0][:200]}
        result["freia"] = {
            "ms": 1e3 * theirs,
            "ratio": seconds / theirs,
            "memory_bytes": memory,
            "compilation_s": compilation,
        }
    return result


def _print(result):
    line = f"{result['network']} {result['dtype']} {result['function']:12}"
    if "error" in result:
        print(f"{line:38}{result['rows']:6} {result['error']}", flush=True)
        return
    share = f"{100 * result['peak_share']:.1f}" if result["peak_share"] else "-"
    difference = "-" if result["difference"] is None else f"{result['difference']:.1e}"
    line = (
        f"{line:38}{result['rows']:6}{result['rows_per_s']:10.0f}{result['ms']:9.3g}{share:>8}"
        f"{result['memory_bytes'] / 2**20:8.0f}{result['compilation_s']:12.1f}{difference:>12}"
    )
    if freia := result.get("freia"):
        memory = f"{freia['memory_bytes'] / 2**20:.0f}" if freia["memory_bytes"] else "-"
        line += f"{freia['ms']:10.3g}{freia['ratio']:7.2f}{memory:>8}"
    line += f"  {result.get('freia_error', '')}"
    print(line, flush=True)


if __name__ == "__main__":
    main()
