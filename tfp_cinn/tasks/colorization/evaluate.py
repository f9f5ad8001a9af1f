"""What `bin/evaluate.py` does with a colorization run."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfp_cinn.errors import UsageError
from tfp_cinn.metrics import Estimate, feature_network, nats_per_dim
from tfp_cinn.metrics.feature_network import FeatureNetwork
from tfp_cinn.tasks.colorization.judge import Figures, judge_colorings
from tfp_cinn.tasks.colorization.task import Colorization
from tfp_cinn.tasks.output import check_drawing
from tfp_cinn.workdir import Workdir

__all__ = ["evaluate_colorings"]


def evaluate_colorings(
    workdir: Workdir,
    batch_size: int = 32,
    folder: str | None = None,
    num_samples: int = 8,
    temperature: float = 1.0,
    seed: int = 0,
    feature_weights: str | os.PathLike | None = None,
) -> dict[str, Any]:
    """Measures a colorization model on its test photographs.

    Beside the model's colorings are judged those that need none: the gray image, the training
    photographs' mean color, and the photograph itself, so that each figure is seen to behave.
    Judged are crops (up to four a photograph, at the crops' resolution); errors are over
    photographs, since crops of one resemble each other: a bootstrap's, and a jackknife's of the
    Frechet distance. Prints a table and, last, the same as JSON, which goes to `evaluation.json` in
    the workdir. docs/evaluation.md says what each figure means and where it misleads.

    Args:
        workdir: the training run.
        batch_size: crops a batch.
        folder: where the photographs are, if not where training read them.
        num_samples: colorings of each crop, 2 or more.
        temperature: factor on the latents.
        seed: of the colorings and of the resampling.
        feature_weights: weights of `keras.applications.InceptionV3`, with its classifier, to take
            instead of EfficientNet-Lite0; if None and that isn't installed, what needs a feature
            network is left out.

    Returns:
        `nats_per_dim` and `bits_per_dim`, of ab in Lab units with the noise of training; under
        `rows`, for `model`, `gray`, `mean_color` and `truth`, the figures of the table; and what
        they are of.

    Raises:
        UsageError: if workdir, photographs, weights or an argument don't serve.
    """
    check_drawing(num_samples, temperature, seed)
    if num_samples < 2:
        raise UsageError("num_samples: expected 2 or more, as variance is over them, got 1")
    config = workdir.config()
    section = config["data"] | ({"folder": folder} if folder else {})
    network = _feature_network(feature_weights)
    experiment = Colorization.load(section, config["model"])
    model = workdir.load_model()
    mean = experiment.mean_color()

    def painted(lightness, number):
        return model.distribution.sample(lightness, num_samples, [seed, number], temperature)

    def plain(ab):
        shape = experiment.image_shape
        return lambda lightness, _: np.broadcast_to(np.float32(ab), (1, len(lightness), *shape))

    painters = {"model": painted, "gray": plain(0), "mean_color": plain(mean)}
    figures, photos, non_finite = judge_colorings(
        experiment, painters, num_samples, network, batch_size, seed
    )
    nats = nats_per_dim(model, experiment.test_batches(batch_size), photos)
    result = {
        "dataset": experiment.facts["name"],
        "model_sha256": workdir.model_sha256(),
        "num_test": len(photos),
        "num_photos": len(np.unique(photos)),
        "num_samples": num_samples,
        "temperature": temperature,
        "seed": seed,
        "non_finite_samples": non_finite,
        "feature_network": network.name if network else None,
        "nats_per_dim": nats.as_json(),
        "bits_per_dim": nats.scaled(1 / math.log(2)).as_json(),
        "rows": {
            name: {column: figure.as_json() for column, figure in row.items()}
            for name, row in figures.items()
        },
    }
    print(_table(workdir, result, figures, nats, network))
    line = json.dumps(result, allow_nan=False)
    print(line)
    with workdir.writing("evaluation.json") as scratch:
        scratch.write_text(line + "\n")
    return result


def _feature_network(weights: str | os.PathLike | None) -> FeatureNetwork | None:
    if weights:
        return feature_network.inception_v3(weights)
    path = feature_network.find_efficientnet_lite0()
    return path and feature_network.efficientnet_lite0(path)


def _table(
    workdir: Workdir,
    result: Mapping[str, Any],
    figures: Mapping[str, Figures],
    nats: Estimate,
    network: FeatureNetwork | None,
) -> str:
    """The figures for people: a line for each, a column for each of what is judged."""
    count = result["num_samples"]
    meanings = {
        "best_of_1": "RMS error of one coloring, % of the range of RGB",
        f"best_of_{count}": "of the best coloring of each pixel, as the paper counts",
        f"best_image_of_{count}": "of the best whole coloring",
        "pixel_variance": "variance over the colorings of a crop, RGB in [0, 1]",
        "chroma": "mean chroma, Lab units; 0 is gray",
        "chroma_distance": "of the distribution of chroma from the photographs', Lab units",
    }
    if network:
        meanings |= {
            network.distance: f"Frechet distance from the photographs, features of {network.name}; "
            f"large for want of crops, {result['num_test']}: compare in this table only",
            "top5_agreement": "share whose five likeliest classes hold the photograph's first",
        }
    bits = nats.scaled(1 / math.log(2))
    lines = [
        f"{workdir}: {result['num_test']} crops of {result['num_photos']} test photographs, "
        f"{count} colorings each at temperature {result['temperature']:g}, means with their "
        "standard errors",
        f"  {nats.mean:.4f} +- {nats.standard_error:.4f} nats/dim of ab in Lab units, "
        f"{bits.mean:.4f} +- {bits.standard_error:.4f} bits/dim",
        f"  {'':17}" + "".join(f"{name:>22}" for name in figures),
    ]
    for column in meanings:
        cells = (f"{_cell(row[column]):>22}" for row in figures.values())
        lines.append(f"  {column:17}" + "".join(cells))
    lines += [f"  {column}: {meaning}" for column, meaning in meanings.items()]
    if result["non_finite_samples"]:
        lines.append(f"  {result['non_finite_samples']} colorings have NaN or infinite colors")
    if not network:
        lines.append(
            f"  fid_lite0 and top5_agreement are left out: {feature_network.INSTALL} adds them"
        )
    return "\n".join(lines)


def _cell(figure: Estimate) -> str:
    """A figure to two digits of its error, 6 decimals at most."""
    error, decimals = figure.standard_error, 4
    if math.isfinite(error) and error > 0:
        decimals = min(max(1 - math.floor(math.log10(error)), 0), 6)
    return f"{figure.mean:.{decimals}f} +- {error:.{decimals}f}"
