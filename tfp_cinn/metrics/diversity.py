"""Differences of images of a class from each other and from the training images.

All distances are root-mean-square over the pixels, |a - b| / sqrt(D), in gray levels.
"""

from __future__ import annotations

import numpy as np

from tfp_cinn.data import Split
from tfp_cinn.metrics.figure import Figure, metric

__all__ = ["neighbor_distance", "pair_distance"]

_CHUNK = 1024


@metric("levels", "RMS pixel distance of two images of a class; 0 is collapsed")
def pair_distance(split: Split) -> Figure:
    """Return the root-mean-square distance of two random images of one class.

        sqrt(mean over classes of E |a - b|^2 / D) = sqrt(2 * mean pixel variance within a class)

    The variance of each pixel is the unbiased one, so the squared distance doesn't depend on the
    number of images. Collapsed samples give 0. Classes with a single image are left out.

    Args:
        split: images `[N, H, W, C]` in gray levels and labels `[N]`.

    Returns:
        The distance in gray levels; NaN if no class has two images.
    """
    values, labels = [], []
    for label in np.unique(split.labels):
        images = _of_class(split, label, np.float64)
        count = len(images)
        if count > 1:
            deviations = ((images - images.mean(axis=0)) ** 2).mean(axis=1)
            values.append(2 * count / (count - 1) * deviations)
            labels.append(np.full(count, label))
    if not values:
        return Figure.average([])
    return Figure.over_classes(np.concatenate(values), np.concatenate(labels)).root()


@metric("levels", "of an image to the nearest training image of its class; 0 is a copy")
def neighbor_distance(split: Split, reference: Split) -> Figure:
    """Return the mean distance of an image to the nearest of its class in `reference`.

    With the training images as reference, it is 0 for samples that copy them; samples as new as
    real data have the value of held-out real images. Classes count alike.

    Args:
        split: images `[N, H, W, C]` in gray levels and labels `[N]`.
        reference: images `[M, H, W, C]` and labels `[M]`; classes missing here are left out.

    Returns:
        The distance in gray levels; NaN if there is no class in common.
    """
    values, labels = [], []
    for label in np.intersect1d(split.labels, reference.labels):
        images = _of_class(split, label, np.float32)
        others = _of_class(reference, label, np.float32)
        norms = (others**2).sum(axis=1)
        for start in range(0, len(images), _CHUNK):
            chunk = images[start : start + _CHUNK]
            # The expanded square is fast but inexact: it finds the neighbor, and the difference
            # gives its distance.
            nearest = others[np.argmin(norms - 2 * chunk @ others.T, axis=1)]
            values.append(np.sqrt(((chunk - nearest) ** 2).mean(axis=1)))
            labels.append(np.full(len(chunk), label))
    if not values:
        return Figure.average([])
    return Figure.over_classes(np.concatenate(values), np.concatenate(labels))


def _of_class(split: Split, label: int, dtype: type) -> np.ndarray:
    """Return the images of one class as rows `[n, D]`."""
    images = split.images[split.labels == label]
    return images.reshape(len(images), -1).astype(dtype)
