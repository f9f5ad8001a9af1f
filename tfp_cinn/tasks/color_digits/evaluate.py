"""What `bin/evaluate.py` does with a run of colored digits."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import tqdm

from tfp_cinn.data.color_digits import class_hues
from tfp_cinn.errors import UsageError
from tfp_cinn.metrics import Estimate, nats_per_dim
from tfp_cinn.metrics.hues import circular_distance, digit_hues, hue_distance
from tfp_cinn.plots.pictures import draw_hues
from tfp_cinn.tasks.color_digits.task import ColorDigits
from tfp_cinn.tasks.output import check_drawing
from tfp_cinn.workdir import Workdir

__all__ = ["evaluate_color_digits"]

_ROWS = {
    "model": "of the model's colorings",
    "data": "of the same images in colors drawn once more: no model can do better",
    "shuffled": "of those with the classes shuffled: colors that know no class",
}


def evaluate_color_digits(
    workdir: Workdir,
    batch_size: int = 250,
    idx_dir: str | None = None,
    num_samples: int = 8,
    temperature: float = 1.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures a model of colored digits on its test images.

    Each test image is colored by the model and, as often, in new colors as the data were; the
    hues of both, by class, are compared (`tfp_cinn.metrics.hues`), and drawn in `hues.png` in
    the workdir. Prints a table and, last, the same as JSON, which goes to `evaluation.json`.

    Args:
        workdir: the training run.
        batch_size: images a batch.
        idx_dir: folder of IDX files to read the data from, instead of where training did.
        num_samples: colorings of each image.
        temperature: factor on the latents of the colorings.
        seed: of the colorings.

    Returns:
        `nats_per_dim` and `bits_per_dim`, of RGB in [0, 1] with the noise of training; under
        `hue_distance`, in degrees, those of `model`, `data` and `shuffled` from the data's hues;
        and `hue_distance_by_class` of the model, `[foreground, background]`.

    Raises:
        UsageError: if workdir, data or an argument don't serve.
    """
    check_drawing(num_samples, temperature, seed)
    config = workdir.config()
    section = config["data"] | ({"idx_dir": idx_dir} if idx_dir else {})
    experiment = ColorDigits.load(section, config["model"])
    model = workdir.load_model()
    labels = experiment.images.test.labels
    batches = experiment.test_batches(batch_size)
    nats = nats_per_dim(model, batches)
    reference, data_hues = np.split(_data_hues(experiment, batch_size, 2 * num_samples), 2, axis=1)
    hues = {
        "model": _model_hues(model, batches, num_samples, temperature, seed),
        "data": data_hues,
        "shuffled": np.random.default_rng(seed).permutation(data_hues),
    }
    distances = {name: hue_distance(each, reference, labels) for name, each in hues.items()}
    names = experiment.images.class_names
    result = {
        "dataset": experiment.images.name,
        "model_sha256": workdir.model_sha256(),
        "num_test": len(labels),
        "num_samples": num_samples,
        "temperature": temperature,
        "seed": seed,
        "nats_per_dim": nats.as_json(),
        "bits_per_dim": nats.scaled(1 / math.log(2)).as_json(),
        "hue_distance": {name: distance.as_json() for name, distance in distances.items()},
        "hue_distance_by_class": {
            names[label]: _distances(hues["model"][labels == label], reference[labels == label])
            for label in np.unique(labels)
        },
    }
    with workdir.writing("hues.png") as scratch:
        draw_hues(reference, hues["model"], labels, class_hues(), names, scratch)
    print(_table(workdir, result, distances, nats))
    line = json.dumps(result, allow_nan=False)
    print(line)
    with workdir.writing("evaluation.json") as scratch:
        scratch.write_text(line + "\n")
    return result


def _distances(hues, reference):
    """Of foreground and background."""
    return [circular_distance(hues[..., k].ravel(), reference[..., k].ravel()) for k in range(2)]


def _data_hues(experiment, batch_size, repeats):
    """Of the test images as data, `[N, repeats, 2]`."""
    batches = experiment.test_batches(batch_size, repeats)
    hues = np.concatenate([digit_hues(x.numpy(), gray.numpy()) for x, gray in batches])
    return hues.reshape(repeats, -1, 2).swapaxes(0, 1)


def _model_hues(model, batches, num_samples, temperature, seed):
    """Of their colorings, `[N, num_samples, 2]`."""
    hues = []
    shown = tqdm.tqdm(batches, "color", leave=False, disable=None)
    for number, (_, gray) in enumerate(shown):
        x = model.distribution.sample(gray, num_samples, [seed, number], temperature).numpy()
        hues.append(digit_hues(x, gray.numpy()).swapaxes(0, 1))
    hues = np.concatenate(hues)
    if not np.isfinite(hues).all():
        raise UsageError("a coloring has NaN pixels; lower the temperature, or train further")
    return hues


def _table(workdir, result, distances, nats: Estimate) -> str:
    bits = nats.scaled(1 / math.log(2))
    lines = [
        f"{workdir}: {result['num_test']} test images, {result['num_samples']} colorings each at "
        f"temperature {result['temperature']:g}, means with their standard errors",
        f"  {nats.mean:.4f} +- {nats.standard_error:.4f} nats/dim = {bits.mean:.4f} bits/dim of "
        "RGB in [0, 1] with the noise of training",
        "  distance from the hues of the data, degrees, mean over classes, foreground, background:",
    ]
    lines += [
        f"  {name:10}{distance.mean:6.2f} +- {distance.standard_error:.2f}  {_ROWS[name]}"
        for name, distance in distances.items()
    ]
    lines.append("  of the model, by class:  foreground  background")
    lines += [
        f"  {name:23}  {foreground:10.2f}  {background:10.2f}"
        for name, (foreground, background) in result["hue_distance_by_class"].items()
    ]
    lines.append(f"  {workdir / 'hues.png'}: hues of samples and of data")
    return "\n".join(lines)
