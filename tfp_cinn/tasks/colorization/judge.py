"""Colorings of test photographs, judged beside the photographs themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tqdm

from tfp_cinn.color import rgb_to_lab, split_lab, to_rgb
from tfp_cinn.metrics import Figure, colorings
from tfp_cinn.metrics.feature_network import FeatureNetwork
from tfp_cinn.metrics.frechet import frechet_distance
from tfp_cinn.tasks.task import Task

__all__ = ["Judged", "judge_colorings"]


class Judged(NamedTuple):
    """What was found.

    Attributes:
        figures: of each painter, and of `truth`, the photographs themselves.
        photos: which photograph each crop is of, `[N]`.
        non_finite: how many colorings have a pixel that is NaN or infinite.
    """

    figures: list[Figure]
    photos: np.ndarray
    non_finite: int


def judge_colorings(
    task: Task,
    painters: Mapping[str, Callable[[Any, int], Any]],
    num_samples: int,
    network: FeatureNetwork | None,
    batch_size: int = 32,
    seed: int = 0,
) -> Judged:
    """Judge who colors the test crops, whatever they are.

    Args:
        task: the photographs, `Colorization`.
        painters: by name, from L `[B, H, W, 1]` at the resolution of ab, and the batch's number, to
            ab `[K, B, h, w, 2]`; K is `num_samples`, or 1 of a painter whose colorings are alike.
        num_samples: colorings of a crop.
        network: judges the first one; without it what needs a network is left out.
        batch_size: crops a batch.
        seed: of the resampling.

    Returns:
        Figures with errors over photographs; docs/evaluation.md says what each means.

    Raises:
        UsageError: if there are no test photographs.
    """
    size = task.event_shape[:2]
    rows = {name: [] for name in (*painters, "truth")}
    photos, non_finite = [], 0
    crops = tqdm.tqdm(task.test_crops(batch_size), "color", leave=False, disable=None)
    for number, (rgb, photo) in enumerate(crops):
        lightness = split_lab(rgb, size).L
        truth = rgb.numpy()
        seen = network and network(truth)
        painted = {
            name: to_rgb(lightness, paint(lightness, number)) for name, paint in painters.items()
        }
        for name, x in (painted | {"truth": rgb[np.newaxis]}).items():
            x = np.swapaxes(x, 0, 1)
            non_finite += np.count_nonzero(~np.isfinite(x).all(axis=(2, 3, 4)))
            rows[name].append(_of_crops(x, truth, num_samples, network, seen))
        photos.append(photo.numpy())
    photos = np.concatenate(photos)
    figures = [
        _figure(name, np.concatenate([batch[name] for batch in batches]), photos, network, seed, of)
        for of, batches in rows.items()
        for name in batches[0]
    ]
    return Judged(figures, photos, int(non_finite))


def _of_crops(
    x: np.ndarray,
    truth: np.ndarray,
    num_samples: int,
    network: FeatureNetwork | None,
    seen: tuple[np.ndarray, np.ndarray] | None,
) -> dict[str, np.ndarray]:
    """Return what the figures are made of, by their names, `[B, ...]`, of colorings `[B, K, ...]`.

    `seen` are the features and logits of the crops `truth`.
    """
    ab = rgb_to_lab(x)[..., 1:].numpy()
    true_ab = rgb_to_lab(truth)[..., 1:].numpy()
    histograms = (colorings.chroma_histogram(each) for each in (ab, true_ab))
    parts = {
        "best_of_1": colorings.best_of(x[:, :1], truth),
        f"best_of_{num_samples}": colorings.best_of(x, truth),
        f"best_image_of_{num_samples}": colorings.best_of(x, truth, per_image=True),
        "pixel_variance": colorings.pixel_variance(x),
        "chroma": colorings.chroma(ab),
        "chroma_distance": np.stack([*histograms], axis=1),
    }
    if network:
        features, logits = network(x[:, 0])
        parts[network.distance] = np.stack([features, seen[0]], axis=1)
        parts["top5_agreement"] = colorings.top5_agreement(logits, seen[1])
    return parts


def _figure(
    name: str,
    values: np.ndarray,
    photos: np.ndarray,
    network: FeatureNetwork | None,
    seed: int,
    of: str,
) -> Figure:
    if name == "chroma_distance":
        figure = Figure.bootstrap(values, photos, colorings.chroma_distance, seed=seed)
    elif network and name == network.distance:
        figure = Figure.jackknife(values, photos, _paired_distance, seed=seed)
    else:
        figure = Figure.bootstrap(values, photos, seed=seed)
    return figure.named(name, *_words(name, network), of)


def _words(name: str, network: FeatureNetwork | None) -> tuple[str, str]:
    """Return the unit and the meaning of a figure."""
    if name.startswith("best_image"):
        return "%", "RMS error of the best whole coloring"
    if name == "best_of_1":
        return "%", "RMS error of one coloring, of the range of RGB"
    if name.startswith("best"):
        return "%", "of the best coloring of each pixel, as the paper counts"
    if network and name == network.distance:
        return "1", (
            f"Frechet distance from the photographs, features of {network.name}; large for want of "
            "crops: compare in this table only"
        )
    return {
        "pixel_variance": ("1", "variance over the colorings of a crop, RGB in [0, 1]"),
        "chroma": ("Lab", "mean chroma; 0 is gray"),
        "chroma_distance": ("Lab", "of the distribution of chroma from the photographs'"),
        "top5_agreement": ("share", "whose five likeliest classes hold the photograph's first"),
    }[name]


def _paired_distance(features: np.ndarray) -> float:
    """Frechet distance of features `[N, 2, D]`, NaN of fewer than two crops."""
    return frechet_distance(features[:, 0], features[:, 1]) if len(features) > 1 else math.nan
