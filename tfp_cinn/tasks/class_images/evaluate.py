"""What `bin/evaluate.py` does with a training run."""

from __future__ import annotations

import json
import math
import os
from typing import Any

import numpy as np

from tfp_cinn import data
from tfp_cinn.errors import UsageError
from tfp_cinn.metrics.classifier import is_recognized, train_classifier
from tfp_cinn.metrics.diversity import neighbor_distance, pair_distance
from tfp_cinn.metrics.estimate import Estimate
from tfp_cinn.metrics.latents import latent_statistics
from tfp_cinn.metrics.likelihood import class_accuracy, nats_per_dim
from tfp_cinn.model import CINN
from tfp_cinn.tasks.class_images.sample import draw
from tfp_cinn.tasks.class_images.task import ClassImages
from tfp_cinn.tasks.facts import field
from tfp_cinn.tasks.output import check_drawing
from tfp_cinn.tasks.report import table
from tfp_cinn.workdir import Workdir

__all__ = ["evaluate"]


def evaluate(
    workdir: str | os.PathLike,
    source: str | None = None,
    batch_size: int = 250,
    num_samples: int = 100,
    temperature: float = 1.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures the model of a training run on its test data, and its samples beside them.

    Prints a table and, as the last line, the same as JSON, which it also writes to
    `evaluation.json` in the workdir. Samples are judged as the gray levels that they show,
    floor(x) within [0, levels): those are draws of the discrete model
    P(v | c) = int p(v + u | c) du over u in [0, 1)^D, which compare with real images without the
    noise that training added to these.

    Args:
        workdir: the training run.
        source: folder of classes or of IDX files to read the data from, instead of where training
            did.
        batch_size: images a batch; changes no figure beyond rounding.
        num_samples: samples drawn of each class, 2 or more.
        temperature: factor on the latents of the samples.
        seed: of the samples and of the classifier that judges them.

    Returns:
        For each quantity of `tfp_cinn.tasks.report.ROWS` its mean and its standard error, or
        None where a number is not finite; and beside them `dataset`, `model_sha256` (of the file
        that was measured), `num_test`, `samples_per_class`, `temperature`, `seed`,
        `non_finite_samples` (how many samples have NaN or infinite pixels) and
        `cnn_accuracy_samples_by_class`.

    Raises:
        UsageError: if workdir, data or an argument don't serve.
    """
    check_drawing(num_samples, temperature, seed)
    if num_samples < 2:
        raise UsageError("num_samples: expected 2 or more, as diversity is of pairs, got 1")
    workdir = Workdir(workdir)
    section = field(workdir.config(), "data", dict, workdir / "config.json")
    field(section, "name", str, workdir / "config.json")
    model = workdir.load_model()
    images = ClassImages.read(section, source)
    if images.image_shape != model.event_shape:
        raise UsageError(
            f"{workdir}: the model is of images {model.event_shape}, those of {images.name} are "
            f"{images.image_shape}; give the data that it was trained on"
        )
    batches = data.evaluation_batches(images.test, batch_size)
    nats = nats_per_dim(model, batches)
    figures = {
        "nats_per_dim": nats,
        "bits_per_dim": nats.scaled(1 / math.log(2)),
        "class_accuracy": class_accuracy(model, batches, images.num_classes),
    }
    latents = latent_statistics(model, batches)
    figures |= {f"latent_{name}": figure for name, figure in latents._asdict().items()}
    samples, non_finite = _sampled_split(model, images, num_samples, temperature, seed)
    classifier = train_classifier(images, seed)
    recognized = is_recognized(classifier, samples)
    figures |= {
        "cnn_accuracy_real": Estimate.of(is_recognized(classifier, images.test)),
        "cnn_accuracy_samples": Estimate.over_classes(recognized, samples.labels),
        "pair_distance_real": pair_distance(images.test),
        "pair_distance_samples": pair_distance(samples),
        "neighbor_distance_real": neighbor_distance(images.test, images.train),
        "neighbor_distance_samples": neighbor_distance(samples, images.train),
    }
    figures["diversity_ratio"] = figures["pair_distance_samples"].over(
        figures["pair_distance_real"]
    )
    result = {
        "dataset": images.name,
        "model_sha256": workdir.model_sha256(),
        "num_test": len(images.test.labels),
        "samples_per_class": num_samples,
        "temperature": temperature,
        "seed": seed,
        "non_finite_samples": non_finite,
        **{name: figure.as_json() for name, figure in figures.items()},
        "cnn_accuracy_samples_by_class": dict(
            zip(images.class_names, recognized.reshape(-1, num_samples).mean(axis=1), strict=True)
        ),
    }
    line = json.dumps(result, allow_nan=False)
    print(
        f"{workdir}: {len(images.test.labels)} test images of {images.name}, {num_samples} samples "
        f"a class at temperature {temperature:g}, means with their standard errors"
    )
    print(table(figures))
    if non_finite:
        print(f"  {non_finite} samples have NaN or infinite pixels; they count as black or white")
    print(line)
    with workdir.writing("evaluation.json") as scratch:
        scratch.write_text(line + "\n")
    return result


def _sampled_split(
    model: CINN, images: data.LabeledImages, num_samples: int, temperature: float, seed: int
) -> tuple[data.Split, int]:
    """Samples of every class as images of gray levels, and how many of them were not finite."""
    classes = np.arange(images.num_classes, dtype=np.int32)
    x = draw(model, classes, num_samples, temperature, seed).reshape(-1, *images.image_shape)
    non_finite = np.count_nonzero(~np.isfinite(x).all(axis=(1, 2, 3)))
    levels = np.clip(np.floor(np.nan_to_num(x)), 0, images.levels - 1)
    return data.Split(levels.astype(np.uint8), np.repeat(classes, num_samples)), int(non_finite)
