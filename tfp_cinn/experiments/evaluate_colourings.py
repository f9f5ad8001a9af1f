"""What `bin/evaluate.py` does with a colorization run."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import tqdm

from tfp_cinn import data
from tfp_cinn.colour import rgb_to_lab, split_lab, to_rgb
from tfp_cinn.errors import UsageError
from tfp_cinn.evaluation import Estimate, nats_per_dim
from tfp_cinn.evaluation.colourings import best_of, chroma, pixel_variance, rms_error
from tfp_cinn.evaluation.output import check_drawing
from tfp_cinn.experiments.colorization import Colorization
from tfp_cinn.workdir import Workdir

__all__ = ["evaluate_colourings"]

_COLUMNS = {
    "rms_error": "RMS error of one colouring, % of the range of RGB",
    "best_of": "of the best colouring of each pixel, as the paper counts",
    "best_image_of": "of the best whole colouring",
    "pixel_variance": "variance over the colourings of a photograph, RGB in [0, 1]",
    "chroma": "mean chroma, Lab units; 0 is grey",
}


def evaluate_colourings(
    workdir: Workdir,
    batch_size: int = 32,
    folder: str | None = None,
    num_samples: int = 8,
    temperature: float = 1.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures a colorization model on its test photographs.

    Beside the model's colourings are judged those that need none: the grey image, the training
    photographs' mean colour, and the photograph itself, so that each figure is seen to behave.
    Judged are crops (up to four a photograph, at the crops' resolution); crops of one photograph
    resemble each other, so that standard errors are somewhat too small. Prints a table and, last,
    the same as JSON, which goes to `evaluation.json` in the workdir.

    Args:
        workdir: the training run.
        batch_size: crops a batch.
        folder: where the photographs are, if not where training read them.
        num_samples: colourings of each crop, 2 or more.
        temperature: factor on the latents.
        seed: of the colourings.

    Returns:
        `nats_per_dim` and `bits_per_dim`, of ab in Lab units with the noise of training; and under
        `rows`, for `model`, `grey`, `mean_colour` and `truth`, the figures of the columns.

    Raises:
        UsageError: if workdir, photographs or an argument don't serve.
    """
    check_drawing(num_samples, temperature, seed)
    if num_samples < 2:
        raise UsageError("num_samples: expected 2 or more, as variance is over them, got 1")
    config = workdir.config()
    section = config["data"] | ({"folder": folder} if folder else {})
    experiment = Colorization.load(section, config["model"])
    model = workdir.load_model()
    nats = nats_per_dim(model, experiment.test_batches(batch_size))
    size = experiment.image_shape[:2]
    mean = experiment.mean_colour()
    truth, rows = [], {name: [] for name in ("model", "grey", "mean_colour", "truth")}
    crops = data.evaluation_crops(experiment.photos.test, batch_size, per_photo=4)
    for number, rgb in enumerate(tqdm.tqdm(crops, "colour", leave=False, disable=None)):
        parts = split_lab(rgb, size)
        ab = model.distribution.sample(
            parts.L, num_samples, seed=[seed, number], temperature=temperature
        )
        zero = np.zeros_like(ab)
        rows["model"].append(to_rgb(parts.L, ab))
        rows["grey"].append(to_rgb(parts.L, zero))
        rows["mean_colour"].append(to_rgb(parts.L, zero + mean))
        rows["truth"].append(np.broadcast_to(rgb, (num_samples, *rgb.shape)))
        truth.append(rgb.numpy())
    truth = np.concatenate(truth)
    figures = {}
    for name, batches in rows.items():
        x = np.concatenate(batches, axis=1).swapaxes(0, 1)
        figures[name] = {
            "rms_error": rms_error(x, truth),
            "best_of": best_of(x, truth),
            "best_image_of": best_of(x, truth, per_image=True),
            "pixel_variance": pixel_variance(x),
            "chroma": chroma(rgb_to_lab(x)[..., 1:].numpy()),
        }
    result = {
        "dataset": experiment.facts["name"],
        "model_sha256": workdir.model_sha256(),
        "num_test": len(truth),
        "num_samples": num_samples,
        "temperature": temperature,
        "seed": seed,
        "nats_per_dim": nats.as_json(),
        "bits_per_dim": nats.scaled(1 / math.log(2)).as_json(),
        "rows": {
            name: {column: figure.as_json() for column, figure in row.items()}
            for name, row in figures.items()
        },
    }
    print(_table(workdir, result, figures, nats))
    line = json.dumps(result, allow_nan=False)
    print(line)
    with workdir.writing("evaluation.json") as scratch:
        scratch.write_text(line + "\n")
    return result


def _table(workdir, result, figures, nats: Estimate) -> str:
    lines = [
        f"{workdir}: {result['num_test']} test crops, {result['num_samples']} colourings each at "
        f"temperature {result['temperature']:g}, means with their standard errors",
        f"  {nats.mean:.4f} +- {nats.standard_error:.4f} nats/dim of ab in Lab units",
    ]
    lines.append(f"  {'':12}" + "".join(f"{column:>20}" for column in _COLUMNS))
    for name, row in figures.items():
        cells = (f"{row[c].mean:.4g} +- {row[c].standard_error:.2g}" for c in _COLUMNS)
        lines.append(f"  {name:12}" + "".join(f"{cell:>20}" for cell in cells))
    lines += [f"  {column}: {meaning}" for column, meaning in _COLUMNS.items()]
    return "\n".join(lines)
