"""The program `bin/client.py`: samples from a server or from an exported model."""

from __future__ import annotations

import functools
import os
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from tfp_cinn import files, tasks
from tfp_cinn.client.base import UNREADABLE, Client
from tfp_cinn.client.connection import connect
from tfp_cinn.client.local_client import open_local
from tfp_cinn.errors import UsageError
from tfp_cinn.memory import check_room
from tfp_cinn.tasks.colorization.photographs import draw_colorings, gray_of
from tfp_cinn.tasks.output import check_drawing, check_output, to_labels, write_samples

__all__ = ["ask_for_samples"]

_INPUTS = {"cond", "seed", "temperature"}


def ask_for_samples(
    server: str | None = None,
    saved_model: str | os.PathLike | None = None,
    protocol: str | None = None,
    model: str | None = None,
    version: int | None = None,
    label: str | None = None,
    cond: Sequence[str | int] | str | int | None = None,
    num_samples: int = 16,
    temperature: float = 1.0,
    seed: int = 0,
    output: str | os.PathLike = "samples.png",
    timeout: float | None = None,
    tls: bool | None = None,
) -> pathlib.Path:
    """Request samples, write them to a picture or an array file, and print the latency.

    A sample depends only on the seed, its class and its index, not on the other classes, the
    requests or the server, up to rounding (see docs/serving.md). The files are those of
    `bin/sample.py`.

    Args:
        server: `host:port` of a server, or None.
        saved_model: an exported model, `MODELS/NAME` or the folder of a version, to answer in this
            process without a server, or None.
        protocol: as in `connect`; this, model, label, timeout and tls apply only to servers, with
            the defaults of `connect`.
        model: the model's name on the server.
        version: the version to ask; by default the server's choice, or the newest.
        label: the label of the version to ask.
        cond: classes by number or name (case-insensitive), all if None; for a colorization model,
            image files, of which only the lightness is sent; for other models, a `.npy` or `.npz`
            file, as in `tfp_cinn.tasks.Task.read_conditions`.
        num_samples: samples per condition.
        temperature: factor on the latents.
        seed: the same seed gives the same samples.
        output: the `.png` or `.npz` to write.
        timeout: as in `connect`.
        tls: as in `connect`.

    Returns:
        The file's path, which is printed as well, last.

    Raises:
        UsageError: if an argument is wrong, or the model can't be reached.
    """
    if (server is None) == (saved_model is None):
        raise UsageError("expected either --server or --saved_model; give exactly one")
    of_server = {
        "protocol": protocol,
        "model": model,
        "label": label,
        "timeout": timeout,
        "tls": tls,
    }
    of_server = {name: value for name, value in of_server.items() if value is not None}
    if saved_model is not None and of_server:
        raise UsageError(
            f"{', '.join(f'--{name}' for name in of_server)}: for --server alone, --saved_model is "
            "answered without one; take one or the other away"
        )
    check_drawing(num_samples, temperature, seed)
    output = files.user_path(output)
    # What gRPC logs of a failure says no more than the one line that we print.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    if saved_model is not None:
        client = open_local(saved_model, version)
    else:
        client = connect(server, version=version, **{"model": ""} | of_server)
    with client:
        start = time.perf_counter()
        card = client.card()
        seconds = time.perf_counter() - start
        protocol = of_server.get("protocol", "grpc")
        where = "in this process, without a server" if server is None else f"by {protocol}"
        print(
            f"{client}: version {card.get('version')}, asked {where}; card {1e3 * seconds:.1f} ms"
        )
        if "colorize" in card["signatures"]:
            paint = functools.partial(_color, client, num_samples, temperature, seed)
            draw_colorings(paint, cond, num_samples, temperature, seed, output)
            return output
        if "class_names" not in card:
            known = card.get("kind") in tasks.names()  # others are drawn as any x and c are
            task = tasks.find(card["kind"], "card") if known else tasks.Task
            facts = card.get("facts", {})
            task.check_output(output, facts)
            x, log_prob, cond = _draw(client, card, task, cond, num_samples, temperature, seed)
            task.write_samples(output, x, log_prob, cond, facts)
            print(output)
            return output
        names = [str(name) for name in _fact(client, card, "class_names", list)]
        levels = _fact(client, card, "levels", int)
        dataset = _fact(client, card, "dataset", str)
        if not (names and 0 < levels <= 2**16):
            raise UsageError(
                f"{client}: the model's card tells {len(names)} classes and {levels} gray levels, "
                "expected some of each; export a training run with bin/export.py"
            )
        labels = to_labels(cond, names)
        check_output(output, len(labels), num_samples)
        x = _room(client, card, len(labels), num_samples)
        _fill(x, client, {"cond": labels}, labels, temperature, seed)
    write_samples(x, labels, temperature, seed, output, names, levels, dataset)
    print(output)
    return output


def _fact(client: Client, card: Mapping[str, Any], key: str, kind: type) -> Any:
    if not isinstance(card.get(key), kind):
        raise UsageError(
            f"{client}: the model's card doesn't tell its {key}; export a training run with "
            "bin/export.py"
        )
    return card[key]


def _room(client: Client, card: Mapping[str, Any], labels: int, num_samples: int) -> np.ndarray:
    """Return an array for the samples, `[labels, num_samples, *event]`."""
    try:
        signature = card["signatures"]["sample"]
        told = signature["outputs"]["x"]
        shape, dtype = told["shape"][1:], np.dtype(told["dtype"])
        if signature["inputs"].keys() != _INPUTS or signature["inputs"]["cond"]["shape"] != [None]:
            raise ValueError(f"inputs {', '.join(signature['inputs'])}")
    except UNREADABLE as error:
        raise UsageError(
            f"{client}: doesn't draw x for a class ({error!r}); export a training run with "
            "bin/export.py"
        ) from None
    return _array(labels, num_samples, shape, dtype)


def _array(rows: int, num_samples: int, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    shape = rows, num_samples, *shape
    check_room("num_samples", shape, dtype.itemsize)
    return np.empty(shape, dtype)


def _draw(
    client: Client,
    card: Mapping[str, Any],
    task: type[tasks.Task],
    texts: Any,
    num_samples: int,
    temperature: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, Any]:
    """Samples `[num_samples, conditions, *event]` of any flow, log-densities, conditions."""
    try:
        told = card["signatures"]["sample"]
        row = told["outputs"]["x"]
        shape, dtype = row["shape"][1:], np.dtype(row["dtype"])
        parts = {key: told["inputs"][key]["shape"][1:] for key in told["inputs"]}
        if not {"seed", "temperature"} <= parts.keys() or "log_prob" not in card["signatures"]:
            raise ValueError(f"inputs {', '.join(parts)}")
    except UNREADABLE as error:
        raise UsageError(
            f"{client}: doesn't draw x ({error!r}); export a model with bin/export.py"
        ) from None
    shapes = {
        key.removeprefix("cond_"): tuple(parts[key])
        for key in parts
        if key not in ("seed", "temperature")
    }
    shapes = shapes["cond"] if list(shapes) == ["cond"] else shapes or None
    given = task.read_conditions(texts, shapes, card.get("facts"))
    if isinstance(given, Mapping):
        cond = {f"cond_{key}".lower(): np.asarray(part) for key, part in given.items()}
    else:
        cond = {} if given is None else {"cond": np.asarray(given)}
    rows = len(next(iter(cond.values()))) if cond else 1
    x = _array(rows, num_samples, shape, dtype)
    _fill(x, client, cond, np.arange(rows), temperature, seed)
    size, every = client.batch_size, x.reshape(-1, *shape)
    log_prob = [
        client.predict(
            "log_prob",
            {"x": every[start : start + size]}
            | {key: _rows(cond[key], num_samples, start, size) for key in cond},
        )["log_prob"]
        for start in range(0, len(every), size)
    ]
    return x.swapaxes(0, 1), np.concatenate(log_prob).reshape(rows, num_samples).T, given


def _rows(cond: np.ndarray, num_samples: int, start: int, size: int) -> np.ndarray:
    """Return the conditions of samples from `start` on, each repeated `num_samples` times."""
    return cond[np.arange(start, min(start + size, len(cond) * num_samples)) // num_samples]


def _fill(
    x: np.ndarray,
    client: Client,
    cond: Mapping[str, np.ndarray],
    labels: np.ndarray,
    temperature: float,
    seed: int,
) -> None:
    """Fill `x`, `[conditions, num_samples, *event]`, with samples; print the latency.

    Args:
        x: the array.
        client: the client.
        cond: the conditions by the names of inputs.
        labels: a number for each condition, which determines its noise.
        temperature: factor on the latents.
        seed: seed of the noise.
    """
    num_samples, size, seconds = x.shape[1], client.batch_size, []
    x = x.reshape(-1, *x.shape[2:])
    for start in tqdm.trange(0, len(x), size, desc="ask", leave=False, disable=None):
        rows = np.arange(start, min(start + size, len(x)))
        inputs = {key: cond[key][rows // num_samples] for key in cond} | {
            "seed": _seeds(seed, labels[rows // num_samples], rows % num_samples),
            "temperature": np.full(len(rows), temperature),
        }
        begin = time.perf_counter()
        x[start : start + size] = client.predict("sample", inputs)["x"]
        seconds.append(time.perf_counter() - begin)
    _print_latency(seconds, len(x))


def _color(
    client: Client, num_samples: int, temperature: float, seed: int, rgb: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield colorings `[H, W, 3]` of an image `[H, W, 3]`; print the latency."""
    seconds = []
    gray = gray_of(rgb)[np.newaxis, ..., :1].clip(0, 1)
    # One by one, since each carries its image: eight of twelve megapixels don't fit in a message.
    for number in tqdm.trange(num_samples, desc="ask", leave=False, disable=None):
        inputs = {
            "gray": gray,
            "seed": _seeds(seed, np.zeros(1, int), np.array([number])),
            "temperature": np.full(1, temperature),
        }
        begin = time.perf_counter()
        colored = client.predict("colorize", inputs)["rgb"][0]
        seconds.append(time.perf_counter() - begin)
        yield colored
    _print_latency(seconds, num_samples)


def _print_latency(seconds: Sequence[float], rows: int) -> None:
    ms = 1e3 * np.array(seconds)
    latency = f"{ms[0]:.1f} ms"
    if len(ms) > 1:
        latency = (
            f"first {latency}, median {np.median(ms):.1f} ms, 90th percentile "
            f"{np.percentile(ms, 90):.1f} ms"
        )
    rate = 1e3 * rows / ms.sum()
    print(f"{len(ms)} request{'s' * (len(ms) > 1)}, {rows} rows: {latency}; {rate:.0f} rows/s")


def _seeds(seed: int, labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return a pair of integers for each row, `[N, 2]`."""
    pairs = [
        np.random.SeedSequence([seed, int(label), int(number)]).generate_state(2)
        for label, number in zip(labels, numbers, strict=True)
    ]
    return np.array(pairs, np.uint32).view(np.int32)
