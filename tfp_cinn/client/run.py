"""What `bin/client.py` does: samples from a server, or from an exported model at hand."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from tfp_cinn.client.base import Client
from tfp_cinn.client.connection import connect
from tfp_cinn.client.local_client import open_local
from tfp_cinn.errors import UsageError
from tfp_cinn.evaluation.output import check_drawing, check_output, to_labels, write_samples

__all__ = ["ask_for_samples"]


def ask_for_samples(
    server: str | None = None,
    saved_model: str | os.PathLike | None = None,
    protocol: str = "grpc",
    model: str | None = None,
    version: int | None = None,
    label: str | None = None,
    cond: Sequence[str | int] | str | int | None = None,
    num_samples: int = 16,
    temperature: float = 1.0,
    seed: int = 0,
    output: str | os.PathLike = "samples.png",
    timeout: float = 10.0,
    max_message_mb: int = 64,
    tls: bool = False,
) -> pathlib.Path:
    """Asks for samples, writes them into a picture or an array file, and prints the latency.

    A sample depends on the seed, its class and its number alone, not on the other classes, on how
    rows are split into requests, or on who is asked; but for the rounding of matrix products
    (measured on digits: 4e-7 of the largest pixel). The files are as those of
    `tfp_cinn.evaluation.sample`.

    Args:
        server: `host:port` of a server, or None.
        saved_model: an exported model, `MODELS/NAME` or the folder of a version, to answer in this
            process without a server, or None.
        protocol: `grpc` or `rest`.
        model: the name that a server knows the model by.
        version: the version to ask; by default the server's choice, or the newest.
        label: the label of the version to ask, of a server.
        cond: classes by number or, in any case of letters, by name; all classes if None.
        num_samples: samples of each.
        temperature: factor on the latents.
        seed: the same seed gives the same samples.
        output: the `.png` or `.npz` to write.
        timeout: as in `connect`; this and what follows are for servers.
        max_message_mb: as in `connect`.
        tls: as in `connect`.

    Returns:
        The file's path, which is printed as well, last.

    Raises:
        UsageError: if an argument doesn't serve, or the model can't be asked.
    """
    if (server is None) == (saved_model is None):
        raise UsageError("expected either --server or --saved_model; give exactly one")
    if saved_model is not None and label is not None:
        raise UsageError("--label: only a server knows labels; give --version")
    check_drawing(num_samples, temperature, seed)
    output = pathlib.Path(output)
    # What gRPC logs of a failure says no more than the one line that we print.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    if saved_model is not None:
        client = open_local(saved_model, version)
    else:
        limits = {"timeout": timeout, "max_message_mb": max_message_mb, "tls": tls}
        client = connect(
            server, protocol, model=model or "", version=version, label=label, **limits
        )
    with client:
        start = time.perf_counter()
        card = client.card()
        seconds = time.perf_counter() - start
        names = [str(name) for name in _fact(client, card, "class_names", list)]
        levels = _fact(client, card, "levels", int)
        dataset = _fact(client, card, "dataset", str)
        labels = to_labels(cond, names)
        check_output(output, len(labels), num_samples)
        where = "in this process, without a server" if server is None else f"by {protocol}"
        print(
            f"{client}: version {card.get('version')}, asked {where}; card {1e3 * seconds:.1f} ms"
        )
        x = _samples(client, labels, num_samples, temperature, seed)
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


def _samples(
    client: Client, labels: np.ndarray, num_samples: int, temperature: float, seed: int
) -> np.ndarray:
    """Samples of each label, `[labels, num_samples, *event]`; prints the latency."""
    cond = np.repeat(labels, num_samples)
    numbers = np.tile(np.arange(num_samples), len(labels))
    size, x, seconds = client.batch_size, [], []
    for start in tqdm.trange(0, len(cond), size, desc="ask", leave=False, disable=None):
        rows = slice(start, start + size)
        inputs = {
            "cond": cond[rows],
            "seed": _seeds(seed, cond[rows], numbers[rows]),
            "temperature": np.full(len(cond[rows]), temperature),
        }
        begin = time.perf_counter()
        x.append(client.predict("sample", inputs)["x"])
        seconds.append(time.perf_counter() - begin)
    ms = 1e3 * np.array(seconds)
    latency = f"{ms[0]:.1f} ms"
    if len(ms) > 1:
        latency = (
            f"first {latency}, median {np.median(ms):.1f} ms, 90th percentile "
            f"{np.percentile(ms, 90):.1f} ms"
        )
    rate = 1e3 * len(cond) / ms.sum()
    print(f"{len(ms)} request{'s' * (len(ms) > 1)}, {len(cond)} rows: {latency}; {rate:.0f} rows/s")
    x = np.concatenate(x)
    return x.reshape(len(labels), num_samples, *x.shape[1:])


def _seeds(seed: int, labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """A pair of integers for each row, `[N, 2]`."""
    pairs = [
        np.random.SeedSequence([seed, int(label), int(number)]).generate_state(2)
        for label, number in zip(labels, numbers, strict=True)
    ]
    return np.array(pairs, np.uint32).view(np.int32)
