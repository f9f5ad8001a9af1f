"""The program `bin/client.py`: samples from a server or from an exported model."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from tfp_cinn import files, tasks
from tfp_cinn.client.base import UNREADABLE, Client
from tfp_cinn.client.grpc_client import connect
from tfp_cinn.client.local_client import open_local
from tfp_cinn.errors import UsageError
from tfp_cinn.tasks.conditions import num_conditions
from tfp_cinn.tasks.sampler import Sampler, sample_seeds
from tfp_cinn.tasks.task import check_drawing

__all__ = ["ask_for_samples"]


def ask_for_samples(
    server: str | None = None,
    saved_model: str | os.PathLike | None = None,
    version: int | None = None,
    cond: Sequence[str | int] | str | int | None = None,
    num_samples: int = 16,
    temperature: float = 1.0,
    seed: int = 0,
    output: str | os.PathLike = "samples.png",
    **of_server: Any,
) -> pathlib.Path:
    """Request samples, write them into a file, and print the latency and the path.

    The samples and files are those of `tfp_cinn.tasks.sample`, up to rounding, whoever answers.

    Args:
        server: `host:port` of a server, or None.
        saved_model: an exported model, `MODELS/NAME` or the folder of a version, to answer in this
            process without a server, or None.
        version: the version to ask; by default the server's choice, or the newest.
        cond: see `tfp_cinn.tasks.sample`, as are the next four.
        num_samples: samples per condition.
        temperature: factor on the latents.
        seed: an integer from 0.
        output: the file to write.
        **of_server: `model`, `label`, `timeout` and `tls`, as in `connect`; None for its default.

    Raises:
        UsageError: if an argument is wrong, or the model can't be reached.
    """
    if (server is None) == (saved_model is None):
        raise UsageError("expected either --server or --saved_model; give exactly one")
    of_server = {name: value for name, value in of_server.items() if value is not None}
    if saved_model is not None and of_server:
        raise UsageError(
            f"{', '.join(f'--{name}' for name in of_server)}: for --server alone, --saved_model is "
            "answered without one; leave out one or the other"
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
        card = client.card()
        print(f"{client}: version {card.get('version')}")
        sampler = _ClientSampler(client, card)
        tasks.restore(card).sample(sampler, cond, num_samples, temperature, seed, output)
        sampler.print_latency()
    print(output)
    return output


class _ClientSampler(Sampler):
    def __init__(self, client: Client, card: Mapping[str, Any]):
        self._client, self._seconds, self._rows = client, [], 0
        try:
            told = card["signatures"]["sample"]
            inputs = {key: tuple(row["shape"][1:]) for key, row in told["inputs"].items()}
            del inputs["seed"], inputs["temperature"]
            self.event_shape = tuple(told["outputs"]["x"]["shape"][1:])
            self._dtype = np.dtype(told["outputs"]["x"]["dtype"])
            card["signatures"]["log_prob"]
        except UNREADABLE as error:
            raise UsageError(
                f"{client}: doesn't draw x ({error!r}); export a model with bin/export.py"
            ) from None
        parts = {key.removeprefix("cond_"): shape for key, shape in inputs.items()}
        self.cond_shape = parts["cond"] if list(parts) == ["cond"] else parts or None

    def sample(
        self, cond: Any, num_samples: int, temperature: float, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        count = num_conditions(cond)
        # The samples of a condition after those of the one before it.
        seeds = sample_seeds(seed, cond, num_samples).swapaxes(0, 1).reshape(-1, 2)
        if isinstance(cond, Mapping):
            cond = {f"cond_{key}".lower(): np.asarray(part) for key, part in cond.items()}
        else:
            cond = {} if cond is None else {"cond": np.asarray(cond)}
        x = np.empty((count * num_samples, *self.event_shape), self._dtype)
        log_prob = np.full(len(x), np.nan, self._dtype)
        size = self._client.batch_size
        for start in tqdm.trange(0, len(x), size, desc="ask", leave=False, disable=None):
            rows = np.arange(start, min(start + size, len(x)))
            parts = {key: part[rows // num_samples] for key, part in cond.items()}
            drawing = {"seed": seeds[rows], "temperature": np.full(len(rows), temperature)}
            x[rows] = self.predict("sample", parts | drawing)["x"]
            if np.isfinite(x[rows]).all():
                answer = self._client.predict("log_prob", parts | {"x": x[rows]})
                log_prob[rows] = answer["log_prob"]
        x, log_prob = (each.reshape(count, num_samples, *each.shape[1:]) for each in (x, log_prob))
        return x.swapaxes(0, 1), log_prob.T

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        start = time.perf_counter()
        answer = self._client.predict(signature, inputs)
        self._seconds.append(time.perf_counter() - start)
        self._rows += len(inputs["seed"])
        return answer

    def print_latency(self) -> None:
        count, median = len(self._seconds), 1e3 * np.median(self._seconds)
        print(f"{count} request{'s' * (count > 1)}, {self._rows} rows: median {median:.1f} ms")
